"""Rows that the trainer could not train on: too long for the engine in tokens, or nothing that the
model's chat template takes. Curation cannot tell, since it has no tokenizer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform.database import cycle_corrections


def set_aside(
    connection: sa.Connection,
    cycle: str,
    corrected: pl.DataFrame,
    refused: Sequence[Mapping[str, Any]],
) -> None:
    """Put the cycle's refused corrections into quarantine, with the reason: nothing learnt them.

    Args:
        corrected: the rows of `corrections.jsonl`, line by line.
        refused: of the training record; those of other files are left aside.
    """
    for row in refused:
        if row["file"] != "corrections.jsonl":
            continue
        connection.execute(
            sa.update(cycle_corrections)
            .where(
                cycle_corrections.c.cycle == cycle,
                cycle_corrections.c.decision_id == corrected["decision_id"][row["line"] - 1],
            )
            .values(split="quarantine", reason=f"it could not be trained on: {row['reason']}")
        )


def table(refused: Sequence[Mapping[str, Any]]) -> str:
    """As Markdown."""
    head = "| file | line | why |\n| --- | --- | --- |\n"
    return head + "\n".join(
        f"| {row['file']} | {row['line']} | {str(row['reason']).replace('|', '/')} |"
        for row in refused
    )
