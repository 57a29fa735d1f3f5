"""tables of the first release"""

import sqlalchemy as sa
from alembic import op

from shared.columns import AmountText, Document
from shared.db import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cancellations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("caller", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("booking_id", sa.String(length=64), nullable=False),
        sa.Column("journey", sa.String(length=32), nullable=False),
        sa.Column("request", Document, nullable=False),
        sa.Column("metadata", Document, nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("steps", Document, nullable=False),
        sa.Column("done_steps", Document, nullable=False),
        sa.Column("next_step", sa.String(length=32), nullable=True),
        sa.Column("quotes", Document, nullable=False),
        sa.Column("claim_quote_id", sa.String(length=64), nullable=True),
        sa.Column("irreversible_at", UtcDateTime(), nullable=True),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("sends_reasons", sa.Boolean(), nullable=False),
        sa.Column("preview_cancellation_id", sa.String(length=64), nullable=True),
        sa.Column("preview_total", AmountText(), nullable=True),
        sa.Column("preview_currency", sa.String(length=3), nullable=True),
        sa.Column("preview_confirm_before", UtcDateTime(), nullable=True),
        sa.Column("preview_expires_at", UtcDateTime(), nullable=True),
        sa.Column("previewed_from", UtcDateTime(), nullable=True),
        sa.Column("previewed_until", UtcDateTime(), nullable=True),
        sa.Column("refund_mode", sa.String(length=8), nullable=False),
        sa.Column("waiting_since", UtcDateTime(), nullable=True),
        sa.Column("refund_amount", AmountText(), nullable=True),
        sa.Column("refund_currency", sa.String(length=3), nullable=True),
        sa.Column("refund_reference", sa.String(length=255), nullable=True),
        sa.Column("refund_reported_at", UtcDateTime(), nullable=True),
        sa.Column("lease", sa.Integer(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("begun_at", UtcDateTime(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("abandoned", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("rings", sa.Integer(), nullable=False),
        sa.Column("ring_after", UtcDateTime(), nullable=True),
        sa.Column("problem", Document, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("completed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "(status IN ('in_progress', 'awaiting_refund', 'awaiting_premium_refund')) = (next_attempt_at IS NOT NULL)",
            name=op.f("ck_cancellations_unfinished_has_next_attempt"),
        ),
        sa.CheckConstraint(
            "next_step IN ('look_up', 'preview', 'refund', 'confirm', 'claim', 'cancel', 'await_premium_refund')",
            name=op.f("ck_cancellations_next_step"),
        ),
        sa.CheckConstraint(
            "status IN ('in_progress', 'awaiting_refund', 'awaiting_premium_refund', "
            "'completed', 'rejected', 'aborted', 'needs_review', 'closed')",
            name=op.f("ck_cancellations_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cancellations")),
        sa.UniqueConstraint("caller", "idempotency_key", name=op.f("uq_cancellations_caller_idempotency_key")),
    )
    with op.batch_alter_table("cancellations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_cancellations_booking_id_id"), ["booking_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_cancellations_caller_id"), ["caller", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_cancellations_next_attempt_at"),
            ["next_attempt_at"],
            unique=False,
            postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
            sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
        )
        batch_op.create_index(batch_op.f("ix_cancellations_status_id"), ["status", "id"], unique=False)

    op.create_table(
        "webhook_bodies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_bodies")),
        sa.UniqueConstraint("digest", name=op.f("uq_webhook_bodies_digest")),
    )
    op.create_table(
        "calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cancellation_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("request", Document, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("is_doubtful", sa.Boolean(), nullable=False),
        sa.Column("must_read_back", sa.Boolean(), nullable=False),
        sa.Column("first_sent_at", UtcDateTime(), nullable=True),
        sa.Column("last_sent_at", UtcDateTime(), nullable=True),
        sa.Column("absent_since", UtcDateTime(), nullable=True),
        sa.Column("answer_status", sa.Integer(), nullable=True),
        sa.Column("answer", Document, nullable=True),
        sa.CheckConstraint(
            "outcome IN ('sent', 'not_sent', 'unknown', 'refused', 'not_done', 'done')", name=op.f("ck_calls_outcome")
        ),
        sa.CheckConstraint(
            "step IN ('look_up', 'preview', 'refund', 'confirm', 'claim', 'cancel', 'await_premium_refund')",
            name=op.f("ck_calls_step"),
        ),
        sa.ForeignKeyConstraint(["cancellation_id"], ["cancellations.id"], name=op.f("fk_calls_cancellation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
        sa.UniqueConstraint("cancellation_id", "step", "round", name=op.f("uq_calls_cancellation_id_step_round")),
        sa.UniqueConstraint("key", name=op.f("uq_calls_key")),
    )
    op.create_table(
        "claims",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("cancellation_id", sa.Uuid(), nullable=False),
        sa.Column("booking_id", sa.String(length=64), nullable=False),
        sa.Column("quote_id", sa.String(length=64), nullable=False),
        sa.Column("claim_type_id", sa.String(length=64), nullable=False),
        sa.Column("webhook_token", sa.String(length=64), nullable=False),
        sa.Column("claim_id", sa.String(length=64), nullable=True),
        sa.Column("reference", sa.String(length=64), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("status_name", sa.Text(), nullable=True),
        sa.Column("is_processed", sa.Boolean(), nullable=False),
        sa.Column("milestones", Document, nullable=False),
        sa.Column("fetched_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["cancellation_id"], ["cancellations.id"], name=op.f("fk_claims_cancellation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claims")),
        sa.UniqueConstraint("partner", "claim_id", name=op.f("uq_claims_partner_claim_id")),
        sa.UniqueConstraint("webhook_token", name=op.f("uq_claims_webhook_token")),
    )
    with op.batch_alter_table("claims", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_claims_booking_id"), ["booking_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_claims_cancellation_id"), ["cancellation_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_claims_reference"), ["reference"], unique=False)
        batch_op.create_index(
            "uq_claims_open",
            ["partner", "booking_id", "quote_id", "claim_type_id"],
            unique=True,
            postgresql_where=sa.text("closed_at IS NULL"),
            sqlite_where=sa.text("closed_at IS NULL"),
        )

    op.create_table(
        "reservations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("booking_id", sa.String(length=64), nullable=False),
        sa.Column("quote_id", sa.String(length=64), nullable=False),
        sa.Column("cancellation_id", sa.Uuid(), nullable=False),
        sa.Column("held_since", UtcDateTime(), nullable=False),
        sa.Column("released_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["cancellation_id"], ["cancellations.id"], name=op.f("fk_reservations_cancellation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
    )
    with op.batch_alter_table("reservations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reservations_cancellation_id"), ["cancellation_id"], unique=False)
        batch_op.create_index(
            "uq_reservations_held",
            ["partner", "booking_id", "quote_id"],
            unique=True,
            postgresql_where=sa.text("released_at IS NULL"),
            sqlite_where=sa.text("released_at IS NULL"),
        )

    op.create_table(
        "transitions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cancellation_id", sa.Uuid(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("from_status", sa.String(length=32), nullable=True),
        sa.Column("to_status", sa.String(length=32), nullable=False),
        sa.Column("from_step", sa.String(length=32), nullable=True),
        sa.Column("to_step", sa.String(length=32), nullable=True),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("details", Document, nullable=False),
        sa.ForeignKeyConstraint(["cancellation_id"], ["cancellations.id"], name=op.f("fk_transitions_cancellation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transitions")),
    )
    with op.batch_alter_table("transitions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_transitions_cancellation_id_at"), ["cancellation_id", "at"], unique=False)

    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("body_id", sa.Uuid(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=True),
        sa.Column("key_number", sa.Integer(), nullable=False),
        sa.Column("headers", Document, nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("rings", sa.Integer(), nullable=False),
        sa.Column("ring_after", UtcDateTime(), nullable=True),
        sa.Column("handled_at", UtcDateTime(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(handled_at IS NULL) = (next_attempt_at IS NOT NULL)",
            name=op.f("ck_webhook_deliveries_unhandled_has_next_attempt"),
        ),
        sa.ForeignKeyConstraint(["body_id"], ["webhook_bodies.id"], name=op.f("fk_webhook_deliveries_body_id")),
        sa.ForeignKeyConstraint(["claim_id"], ["claims.id"], name=op.f("fk_webhook_deliveries_claim_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_webhook_deliveries_body_id"), ["body_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_webhook_deliveries_claim_id"), ["claim_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_webhook_deliveries_next_attempt_at"),
            ["next_attempt_at"],
            unique=False,
            postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
            sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
        )


def downgrade() -> None:
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.drop_index(
            batch_op.f("ix_webhook_deliveries_next_attempt_at"),
            postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
            sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_webhook_deliveries_claim_id"))
        batch_op.drop_index(batch_op.f("ix_webhook_deliveries_body_id"))

    op.drop_table("webhook_deliveries")
    with op.batch_alter_table("transitions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_transitions_cancellation_id_at"))

    op.drop_table("transitions")
    with op.batch_alter_table("reservations", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_reservations_held",
            postgresql_where=sa.text("released_at IS NULL"),
            sqlite_where=sa.text("released_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_reservations_cancellation_id"))

    op.drop_table("reservations")
    with op.batch_alter_table("claims", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_claims_open", postgresql_where=sa.text("closed_at IS NULL"), sqlite_where=sa.text("closed_at IS NULL")
        )
        batch_op.drop_index(batch_op.f("ix_claims_reference"))
        batch_op.drop_index(batch_op.f("ix_claims_cancellation_id"))
        batch_op.drop_index(batch_op.f("ix_claims_booking_id"))

    op.drop_table("claims")
    op.drop_table("calls")
    op.drop_table("webhook_bodies")
    with op.batch_alter_table("cancellations", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_cancellations_status_id"))
        batch_op.drop_index(
            batch_op.f("ix_cancellations_next_attempt_at"),
            postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
            sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_cancellations_caller_id"))
        batch_op.drop_index(batch_op.f("ix_cancellations_booking_id_id"))

    op.drop_table("cancellations")
