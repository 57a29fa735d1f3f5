"""webhooks: which key, what came of it, replays; questions without a webhook; counts of what came in"""

import sqlalchemy as sa
from alembic import op

from shared.columns import Document
from shared.db import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OPEN_CLAIMS = sa.text("closed_at IS NULL")
OPEN_HINTS = sa.text("booking_id IS NOT NULL AND next_attempt_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "booking_readings",
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("booking_id", sa.String(length=64), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("partner", "booking_id", name=op.f("pk_booking_readings")),
    )
    op.create_table(
        "webhook_tallies",
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.Column("sample", Document, nullable=True),
        sa.PrimaryKeyConstraint("hour", "source", "verdict", "key_id", name=op.f("pk_webhook_tallies")),
    )
    with op.batch_alter_table("claims", schema=None) as batch_op:
        batch_op.add_column(sa.Column("webhook_key_id", sa.String(length=16), nullable=True))
        batch_op.add_column(sa.Column("polls", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("next_poll_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("missed", sa.Integer(), server_default="0", nullable=False))
        batch_op.create_index(
            batch_op.f("ix_claims_next_poll_at"),
            ["next_poll_at"],
            unique=False,
            postgresql_where=OPEN_CLAIMS,
            sqlite_where=OPEN_CLAIMS,
        )
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.alter_column("key_number", existing_type=sa.Integer(), nullable=True)
        batch_op.add_column(sa.Column("key_id", sa.String(length=16), nullable=True))
        batch_op.add_column(sa.Column("booking_id", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("outcome", sa.String(length=16), nullable=True))
        batch_op.add_column(sa.Column("replays", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("replayed_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("replayed_by", sa.String(length=80), nullable=True))
        batch_op.create_check_constraint(
            batch_op.f("ck_webhook_deliveries_outcome"), "outcome IN ('applied', 'unchanged', 'ignored', 'kept')"
        )
        batch_op.create_index(
            "ix_webhook_deliveries_hints",
            ["booking_id"],
            unique=False,
            postgresql_where=OPEN_HINTS,
            sqlite_where=OPEN_HINTS,
        )


def downgrade() -> None:
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.drop_index("ix_webhook_deliveries_hints", postgresql_where=OPEN_HINTS, sqlite_where=OPEN_HINTS)
        batch_op.drop_constraint(batch_op.f("ck_webhook_deliveries_outcome"), type_="check")
        for name in ("replayed_by", "replayed_at", "replays", "outcome", "booking_id", "key_id"):
            batch_op.drop_column(name)
    op.execute("UPDATE webhook_deliveries SET key_number = 0 WHERE key_number IS NULL")
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.alter_column("key_number", existing_type=sa.Integer(), nullable=False)
    with op.batch_alter_table("claims", schema=None) as batch_op:
        batch_op.drop_index(
            batch_op.f("ix_claims_next_poll_at"), postgresql_where=OPEN_CLAIMS, sqlite_where=OPEN_CLAIMS
        )
        for name in ("missed", "next_poll_at", "polls", "webhook_key_id"):
            batch_op.drop_column(name)
    op.drop_table("webhook_tallies")
    op.drop_table("booking_readings")
