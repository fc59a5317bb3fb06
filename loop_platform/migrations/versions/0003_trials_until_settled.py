"""A trial runs until its fronts are settled: its budget and its fronts are part of the plan.

A trial that began under the schema before looks once, at what it had planned, and its fronts are
the defaults.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("trials", sa.Column("budget", sa.Integer(), nullable=True))
    op.execute("UPDATE trials SET budget = planned")
    op.alter_column("trials", "budget", nullable=False)
    op.add_column(
        "trials", sa.Column("fronts", JSONB(), nullable=False, server_default=sa.text("'{}'"))
    )
    op.alter_column("trials", "fronts", server_default=None)


def downgrade() -> None:
    op.drop_column("trials", "fronts")
    op.drop_column("trials", "budget")
