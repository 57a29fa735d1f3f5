"""batches, turns at the insurer, and callbacks"""

import sqlalchemy as sa
from alembic import op

from shared.columns import Document
from shared.db import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

IN_BATCH = sa.text("batch_id IS NOT NULL")
AWAITS_TURN = sa.text("turn_class IS NOT NULL")
IS_NEXT = sa.text("next_attempt_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("status IN ('open', 'paused', 'called_off')", name=op.f("ck_batches_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("caller", "idempotency_key", name=op.f("uq_batches_caller_idempotency_key")),
    )
    op.create_index(op.f("ix_batches_caller_id"), "batches", ["caller", "id"], unique=False)
    # Not in batch mode: on SQLite that rebuilds the table, which fails while others refer to its rows.
    batch = sa.Column("batch_id", sa.Uuid(), sa.ForeignKey("batches.id", name=op.f("fk_cancellations_batch_id")))
    op.add_column("cancellations", batch, inline_references=True)
    op.add_column("cancellations", sa.Column("turn_class", sa.SmallInteger(), nullable=True))
    op.add_column("cancellations", sa.Column("turn", sa.BigInteger(), nullable=True))
    op.add_column("cancellations", sa.Column("callback_url", sa.String(length=2048), nullable=True))
    op.create_index(
        "ix_cancellations_batch",
        "cancellations",
        ["batch_id", "id"],
        unique=False,
        postgresql_where=IN_BATCH,
        sqlite_where=IN_BATCH,
    )
    op.create_index(
        "ix_cancellations_turns",
        "cancellations",
        ["partner", "turn_class", "turn"],
        unique=False,
        postgresql_where=AWAITS_TURN,
        sqlite_where=AWAITS_TURN,
    )
    _create_callbacks()


def _create_callbacks() -> None:
    op.create_table(
        "callbacks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cancellation_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("payload", Document, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("rings", sa.Integer(), nullable=False),
        sa.Column("ring_after", UtcDateTime(), nullable=True),
        sa.Column("delivered_at", UtcDateTime(), nullable=True),
        sa.Column("given_up_at", UtcDateTime(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("delivered_at IS NULL OR given_up_at IS NULL", name=op.f("ck_callbacks_one_ending")),
        sa.CheckConstraint(
            "next_attempt_at IS NULL OR (delivered_at IS NULL AND given_up_at IS NULL)",
            name=op.f("ck_callbacks_next_is_pending"),
        ),
        sa.ForeignKeyConstraint(["cancellation_id"], ["cancellations.id"], name=op.f("fk_callbacks_cancellation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callbacks")),
        sa.UniqueConstraint("cancellation_id", "sequence", name=op.f("uq_callbacks_cancellation_id_sequence")),
    )
    op.create_index(
        op.f("ix_callbacks_next_attempt_at"),
        "callbacks",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=IS_NEXT,
        sqlite_where=IS_NEXT,
    )
    op.create_index(
        "uq_callbacks_next",
        "callbacks",
        ["cancellation_id"],
        unique=True,
        postgresql_where=IS_NEXT,
        sqlite_where=IS_NEXT,
    )
    op.create_table(
        "callback_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=300), nullable=False),
        sa.Column("failing_since", UtcDateTime(), nullable=True),
        sa.Column("probed_until", UtcDateTime(), nullable=True),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("last_success_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callback_endpoints")),
        sa.UniqueConstraint("caller", "origin", name=op.f("uq_callback_endpoints_caller_origin")),
    )


def downgrade() -> None:
    op.drop_table("callback_endpoints")
    op.drop_index("uq_callbacks_next", table_name="callbacks", postgresql_where=IS_NEXT, sqlite_where=IS_NEXT)
    op.drop_index(
        op.f("ix_callbacks_next_attempt_at"), table_name="callbacks", postgresql_where=IS_NEXT, sqlite_where=IS_NEXT
    )
    op.drop_table("callbacks")
    with op.batch_alter_table("cancellations", schema=None) as batch_op:
        batch_op.drop_index("ix_cancellations_turns", postgresql_where=AWAITS_TURN, sqlite_where=AWAITS_TURN)
        batch_op.drop_index("ix_cancellations_batch", postgresql_where=IN_BATCH, sqlite_where=IN_BATCH)
        batch_op.drop_constraint(batch_op.f("fk_cancellations_batch_id"), type_="foreignkey")
        for name in ("callback_url", "turn", "turn_class", "batch_id"):
            batch_op.drop_column(name)
    op.drop_index(op.f("ix_batches_caller_id"), table_name="batches")
    op.drop_table("batches")
