"""How much a key may ask for, and what of the limits was used, by all workers together."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name in ("requests_per_minute", "tokens_per_minute"):
        op.add_column("api_keys", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_table(
        "rate_usage",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )


def downgrade() -> None:
    op.drop_table("rate_usage")
    for name in ("requests_per_minute", "tokens_per_minute"):
        op.drop_column("api_keys", name)
