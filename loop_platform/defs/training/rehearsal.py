"""Corrections of earlier cycles, learnt again beside the new ones, so that cycles stack.

Experience replay (Rolnick et al. 2019, arXiv:1811.11682), with the corrections themselves as
labels: what the champion answers there by now may be wrong again. Rehearsed is what the champion
learnt, cycle by cycle back to the base model, as long as people stand by it; where the same
conversation was corrected anew, the new word counts. Nothing that any cycle holds out is among it,
or nearly.

A run sees `rehearsal_rows` an epoch, evenly over the earlier cycles, whatever their number: more
cycles make no cycle longer, they leave each earlier one less. Each epoch sees others, while there
are, and each cycle draws anew: few rows seen often are learnt by heart, many seen once hold what
they have in common.
"""

import hashlib
import json
import math
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform import lessons
from loop_platform.defs.curation.accepted import trained_in
from loop_platform.defs.training.replay import heldout, last_said
from loop_platform.release.registry import Release


def rehearsal(
    connection: sa.Connection, parent: Release, corrected: pl.DataFrame, *, rows: int, cycle: str
) -> pl.DataFrame:
    """At most `rows` corrections that the release `parent` learnt.

    Args:
        corrected: what `cycle` trains on: `task`, `messages` (JSON).

    Columns: those of loop_platform/defs/curation/accepted.py, and `cycle`, that learnt it.
    """
    past = [name for name, _ in lessons.lineage(connection, parent)]
    learnt = trained_in(connection, past, cycle)
    tested = heldout(connection)
    free = [not tested.near(last_said(messages)) for messages in learnt["messages"]]
    return sample(learnt.filter(pl.Series(free, dtype=pl.Boolean)), corrected, rows, lot=cycle)


def drawn(an_epoch: int, epochs: float) -> int:
    """How many a run can use that sees so many an epoch."""
    return math.ceil(an_epoch * epochs)


def sample(earlier: pl.DataFrame, corrected: pl.DataFrame, rows: int, lot: str) -> pl.DataFrame:
    """At most `rows` of `earlier`, in turn over the cycles, and of each over its failure modes.

    Args:
        earlier: `decision_id`, `task`, `messages`, `cycle` and `cluster` of each, and whatever
            else.
        corrected: `task` and `messages` of those that have a new correction.
        lot: the name of the draw: the same one draws the same rows.
    """
    draw = pl.Series(
        [hashlib.sha256(f"{lot} {row}".encode()).digest() for row in earlier["decision_id"]],
        dtype=pl.Binary,
    )
    return (
        earlier.with_columns(draw=draw)
        .join(corrected, on=["task", "messages"], how="anti")
        .sort("draw")
        .with_columns(turn=pl.int_range(pl.len()).over("cycle", "cluster"))
        .sort("turn", "draw")
        .with_columns(turn=pl.int_range(pl.len()).over("cycle"))
        .sort("turn", "draw")
        .drop("turn", "draw")
        .head(rows)
    )


def lines(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """As the trainer reads them."""
    columns = frame.select("messages", "chosen").iter_rows()
    return [{"messages": json.loads(messages), "answer": chosen} for messages, chosen in columns]
