"""audit entries, pauses, processes, checks of the insurer; traces and erasures of cancellations"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from shared.columns import Document
from shared.db import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ENDED_WITH_DATA = sa.text("erased_at IS NULL AND next_attempt_at IS NULL")
COUNTED = {"postgresql_include": ["event", "to_status"]}
INDEXES: tuple[tuple[str, str, list[str], Any, dict[str, Any]], ...] = (
    ("ix_reservations_quote_id", "reservations", ["quote_id"], None, {}),
    ("ix_cancellations_with_problem", "cancellations", ["id"], sa.text("problem IS NOT NULL"), {}),
    ("ix_calls_unsettled", "calls", ["last_sent_at"], sa.text("outcome IN ('sent', 'unknown')"), {}),
    (
        *("ix_transitions_counted", "transitions", ["at"]),
        sa.text("event <> 'step_done' OR to_status = 'completed'"),
        COUNTED,
    ),
)
"""By which people on call find things, and figures are counted."""
NOT_ERASED = sa.text("erased_at IS NULL")

# What a person did stays written, whoever has the application's own rights on the database.
_REFUSE = """
CREATE FUNCTION refuse_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$
"""
_APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entries
FOR EACH ROW EXECUTE FUNCTION refuse_changes()
"""


_APPEND_ONLY_ON_SQLITE = """
CREATE TRIGGER append_only_{deed} BEFORE {deed} ON audit_entries
BEGIN SELECT RAISE(ABORT, 'audit_entries is append-only'); END
"""


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("cancellation_id", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("details", Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index(
        op.f("ix_audit_entries_cancellation_id_id"), "audit_entries", ["cancellation_id", "id"], unique=False
    )
    op.create_table(
        "pauses",
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("paused_at", UtcDateTime(), nullable=False),
        sa.Column("paused_by", sa.String(length=80), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("partner", "step", name=op.f("pk_pauses")),
    )
    op.create_table(
        "processes",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("details", Document, nullable=False),
        sa.CheckConstraint("kind IN ('worker', 'beat')", name=op.f("ck_processes_kind")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_processes")),
    )
    op.create_table(
        "insurer_checks",
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("service", sa.String(length=16), nullable=False),
        sa.Column("checked_at", UtcDateTime(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("clock_lead", sa.Float(), nullable=True),
        sa.CheckConstraint("verdict IN ('ok', 'refused', 'unanswered')", name=op.f("ck_insurer_checks_verdict")),
        sa.PrimaryKeyConstraint("partner", "service", name=op.f("pk_insurer_checks")),
    )
    op.add_column("cancellations", sa.Column("traceparent", sa.String(length=64), nullable=True))
    op.add_column("cancellations", sa.Column("erased_at", UtcDateTime(), nullable=True))
    op.add_column("cancellations", sa.Column("erasure_asked_at", UtcDateTime(), nullable=True))
    op.add_column("webhook_bodies", sa.Column("erased_at", UtcDateTime(), nullable=True))
    op.create_index(
        "ix_cancellations_not_erased",
        "cancellations",
        ["updated_at"],
        unique=False,
        postgresql_where=ENDED_WITH_DATA,
        sqlite_where=ENDED_WITH_DATA,
    )
    for name, table, columns, where, more in INDEXES:
        op.create_index(op.f(name), table, columns, unique=False, postgresql_where=where, sqlite_where=where, **more)
    op.create_index(
        "ix_webhook_bodies_not_erased",
        "webhook_bodies",
        ["received_at"],
        unique=False,
        postgresql_where=NOT_ERASED,
        sqlite_where=NOT_ERASED,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REFUSE)
        op.execute(_APPEND_ONLY)
    else:
        for deed in ("UPDATE", "DELETE"):
            op.execute(_APPEND_ONLY_ON_SQLITE.format(deed=deed))


def downgrade() -> None:
    for name, table, *_ in INDEXES:
        op.drop_index(op.f(name), table_name=table)
    op.drop_index("ix_webhook_bodies_not_erased", table_name="webhook_bodies")
    op.drop_index("ix_cancellations_not_erased", table_name="cancellations")
    with op.batch_alter_table("webhook_bodies", schema=None) as batch_op:
        batch_op.drop_column("erased_at")
    with op.batch_alter_table("cancellations", schema=None) as batch_op:
        for name in ("erasure_asked_at", "erased_at", "traceparent"):
            batch_op.drop_column(name)
    op.drop_table("insurer_checks")
    op.drop_table("processes")
    op.drop_table("pauses")
    op.drop_index(op.f("ix_audit_entries_cancellation_id_id"), table_name="audit_entries")
    op.drop_table("audit_entries")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_changes()")
