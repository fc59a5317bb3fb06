"""What the observer has seen of the journal, and the sums that it keeps for Prometheus."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name in ("counted", "exported"):
        # What was journalled before there was an observer is neither counted nor exported.
        op.add_column(
            "segments", sa.Column(name, sa.Boolean(), server_default="true", nullable=False)
        )
        op.alter_column("segments", name, server_default="false")
        op.create_index(
            f"segments_un{name}",
            "segments",
            ["segment_id"],
            postgresql_where=sa.text(f"NOT {name}"),
        )
    op.create_table(
        "metric_sums",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels"),
    )


def downgrade() -> None:
    op.drop_table("metric_sums")
    for name in ("counted", "exported"):
        op.drop_column("segments", name)
