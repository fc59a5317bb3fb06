"""What the champion does well, to be kept: its own answers on every task that is not corrected, and
those on corrected tasks of which somebody said that they succeeded.

Only of tenants whose people gave the corrections, and nothing that any cycle holds out, or nearly.
"""

import json
from itertools import islice
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import cycle_corrections, decisions, review_items
from loop_platform.defs.review.candidates import last_user_message
from loop_platform.lake import Lake
from loop_platform.resemblance import Collection

_WORST_GOOD_RATING = 3
BLAME = (
    (pl.col("rating") < _WORST_GOOD_RATING)
    | ~pl.col("outcome")
    | pl.col("correction").is_not_null()
    | pl.col("report").is_not_null()
)


def replay(
    connection: sa.Connection,
    lake: Lake,
    *,
    champion: str,
    corrected: set[str],
    tenants: set[str],
    rows: int,
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
            pl.col("tenant").is_in(sorted(tenants)),
        )
        .select("call_id", "task", "messages", "answer", "finish_reason")
        .collect()
    )
    others = ~pl.col("task").is_in(sorted(corrected))
    praised = pl.col("call_id").is_in(said_of(connection, lake, pl.col("outcome")))
    blamed = pl.col("call_id").is_in(said_of(connection, lake, BLAME))
    kept = (
        answers.filter(others | praised, ~blamed)
        .sort("call_id", descending=True)
        .unique(["task", "messages"], keep="first", maintain_order=True)
    )
    turn = pl.col("call_id").cum_count().over("task")
    in_turn = (
        kept.with_columns(turn=turn)
        .sort("turn", "task")
        .select("task", "messages", "answer", ended=pl.col("finish_reason") != "length")
    )
    tested = heldout(connection)
    free = (at for at, said in enumerate(in_turn["messages"]) if not tested.near(last_said(said)))
    return in_turn[list(islice(free, rows))]


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


def last_said(messages: str) -> str:
    """What the user said last in a conversation as JSON."""
    return last_user_message(json.loads(messages))


def heldout(connection: sa.Connection) -> Collection:
    """What the user said in every correction that a cycle held out."""
    query = (
        sa.select(review_items.c.messages)
        .join(decisions, decisions.c.item_id == review_items.c.item_id)
        .join(cycle_corrections, cycle_corrections.c.decision_id == decisions.c.decision_id)
        .where(cycle_corrections.c.split == "heldout")
    )
    return Collection({last_user_message(messages) for messages in connection.scalars(query)})


def said_of(connection: sa.Connection, lake: Lake, what: pl.Expr) -> list[str]:
    """Calls of which somebody said so."""
    said = manifest.rows(connection, lake, "telemetry/feedback").filter(what)
    return said.select("call_id").drop_nulls().collect()["call_id"].unique().to_list()
