"""What the champion does well, to be kept: its own answers on every task that is not corrected."""

import json
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.lake import Lake

_WORST_GOOD_RATING = 3


def replay(
    connection: sa.Connection, lake: Lake, *, champion: str, corrected: set[str], rows: int
) -> pl.DataFrame:
    """At most `rows` answers, evenly over the tasks, the latest of each prompt.

    Columns: `task`, `messages` (JSON), `answer`, `ended` (false where a token limit cut it).
    """
    answers = (
        manifest.calls(connection, lake, release=champion)
        .filter(
            pl.col("route") != "shadow",
            pl.col("complete"),
            pl.col("status") == 200,
            pl.col("messages").is_not_null(),
            pl.col("answer").str.strip_chars() != "",
            ~pl.col("task").is_in(sorted(corrected)),
        )
        .select("call_id", "task", "messages", "answer", "finish_reason")
        .collect()
    )
    blamed = _blamed(connection, lake)
    kept = (
        answers.filter(~pl.col("call_id").is_in(blamed))
        .sort("call_id", descending=True)
        .unique(["task", "messages"], keep="first", maintain_order=True)
    )
    turn = pl.col("call_id").cum_count().over("task")
    return (
        kept.with_columns(turn=turn)
        .sort("turn", "task")
        .head(rows)
        .select("task", "messages", "answer", ended=pl.col("finish_reason") != "length")
    )


def lines(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """As the trainer reads them."""
    return [
        {
            "messages": json.loads(row["messages"]),
            "answer": row["answer"],
            "ended": row["ended"] is not False,
        }
        for row in frame.iter_rows(named=True)
    ]


def _blamed(connection: sa.Connection, lake: Lake) -> list[str]:
    """Calls that somebody found fault with."""
    bad = (
        (pl.col("rating") < _WORST_GOOD_RATING)
        | (pl.col("outcome") == False)  # noqa: E712 - an expression, not a truth value
        | pl.col("correction").is_not_null()
        | pl.col("report").is_not_null()
    )
    said = manifest.rows(connection, lake, "telemetry/feedback").filter(bad)
    return said.select("call_id").drop_nulls().collect()["call_id"].unique().to_list()
