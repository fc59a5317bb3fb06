"""What callers got of a release and said of it, for the guardrails of a canary."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "conduct",
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("declined", sa.BigInteger(), nullable=False),
        sa.Column("metered", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("tokens_squared", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("release", "route", "minute"),
    )
    op.create_table(
        "canary_answers",
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("call_id"),
    )
    op.create_table(
        "objections",
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("call_id"),
    )


def downgrade() -> None:
    for name in ("objections", "canary_answers", "conduct"):
        op.drop_table(name)
