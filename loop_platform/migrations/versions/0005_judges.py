"""What people said of pairs, and judges beside people."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _at(name: str) -> sa.Column[Any]:
    now = sa.text("clock_timestamp()")
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=now)


def upgrade() -> None:
    op.create_table(
        "pair_verdicts",
        sa.Column("pair_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("left_side", sa.Text(), nullable=False),
        _at("shown_at"),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["release"], ["releases.release"]),
        sa.PrimaryKeyConstraint("pair_id", "person"),
    )
    op.create_index("pair_verdicts_release", "pair_verdicts", ["release"])
    op.create_index("pair_verdicts_task", "pair_verdicts", ["task", "decided_at"])
    op.create_table(
        "judge_records",
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("judge", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("person_said", sa.Text(), nullable=False),
        sa.Column("judge_said", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        _at("judged_at"),
        sa.PrimaryKeyConstraint("identity", "subject"),
    )
    op.create_index("judge_records_task", "judge_records", ["task", "identity"])


def downgrade() -> None:
    op.drop_table("judge_records")
    op.drop_table("pair_verdicts")
