"""breakers of the insurer's services"""

import sqlalchemy as sa
from alembic import op

from shared.db import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "breakers",
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("service", sa.String(length=16), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", UtcDateTime(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("opened_at", UtcDateTime(), nullable=True),
        sa.Column("probe_after", UtcDateTime(), nullable=True),
        sa.CheckConstraint("(opened_at IS NULL) = (probe_after IS NULL)", name=op.f("ck_breakers_open_has_next_probe")),
        sa.PrimaryKeyConstraint("partner", "service", name=op.f("pk_breakers")),
    )


def downgrade() -> None:
    op.drop_table("breakers")
