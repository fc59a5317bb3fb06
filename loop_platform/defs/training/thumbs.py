"""Answers of which people said that they are good, or bad, and not what would be better.

They pass the gates that corrections pass: of tenants whose people gave the corrections; no
contributor has more than their share; a complaint that a reviewer looked at and did not share is
none, nor is one of a person whom a reviewer called malicious; nothing that any cycle holds out, or
nearly. An answer that somebody corrected teaches through its correction, and one of which people
disagree teaches nothing.
"""

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import decisions, review_feedback, review_items
from loop_platform.defs.curation.shares import over_share
from loop_platform.defs.training.replay import heldout, last_said
from loop_platform.identity import hour_of
from loop_platform.lake import Lake
from loop_platform.records import BAD_RATING

_GOOD = 4
"""Ratings of 1 to 5 from which on they praise; up to `BAD_RATING` they object."""
_CORRECTED = ("accept", "correct")
_REFUTED = ("reject", "malicious")


def thumbs(
    connection: sa.Connection, lake: Lake, *, tenants: set[str], share: float, rows: int
) -> pl.DataFrame:
    """At most `rows` answers, as many liked as disliked where there are, the latest of each prompt.

    Args:
        share: of one contributor in them, at most.

    Columns: `call_id`, `messages` (JSON), `answer`, `ended` (false where a token limit cut it),
    `liked`, `contributor`.
    """
    said = _said(connection, lake, tenants)
    answers = (
        manifest.calls(connection, lake, hours={hour_of(call) for call in said["call_id"]})
        .filter(
            pl.col("call_id").is_in(said["call_id"].to_list()),
            pl.col("tenant").is_in(sorted(tenants)),
            pl.col("route") != "shadow",
            pl.col("complete"),
            pl.col("status") == 200,
            pl.col("messages").is_not_null(),
            pl.col("answer").str.strip_chars() != "",
        )
        .select(
            "call_id",
            "task",
            "messages",
            "answer",
            ended=pl.col("finish_reason").fill_null("") != "length",
        )
        .collect()
    )
    rated = (
        answers.join(said, on="call_id")
        .sort("call_id", descending=True)
        .unique(["task", "messages"], keep="first", maintain_order=True)
    )
    tested = heldout(connection)
    free = rated.filter(
        pl.Series(
            [not tested.near(last_said(each)) for each in rated["messages"]], dtype=pl.Boolean
        )
    )
    over = pl.Series(over_share(free["contributor"].to_list(), share), dtype=pl.Boolean)
    return _evenly(free.filter(~over), rows)


def lines(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """As the trainer reads them."""
    for row in frame.iter_rows(named=True):
        yield {
            "messages": json.loads(row["messages"]),
            "answer": row["answer"],
            "liked": row["liked"],
            "ended": row["ended"],
        }


def _said(connection: sa.Connection, lake: Lake, tenants: set[str]) -> pl.DataFrame:
    """`call_id`, `liked` and `contributor` of each call that was rated, all of one mind, and that
    nobody corrected."""
    feedback = (
        manifest.rows(connection, lake, "telemetry/feedback")
        .filter(pl.col("call_id").is_not_null(), pl.col("tenant").is_in(sorted(tenants)))
        .select("call_id", "contributor", "rating", "outcome", "correction", "report")
        .collect()
    )
    blame = (pl.col("rating") <= BAD_RATING) | ~pl.col("outcome") | pl.col("report").is_not_null()
    praise = (pl.col("rating") >= _GOOD) | pl.col("outcome")
    by_call = feedback.group_by("call_id", maintain_order=True).agg(
        liked=praise.fill_null(value=False).any(),
        disliked=blame.fill_null(value=False).any(),
        corrected=pl.col("correction").is_not_null().any(),
        # Who rated last: of several of one mind, one stands for all.
        contributor=pl.col("contributor").last(),
    )
    corrected, refuted = _decided(connection, _CORRECTED), _decided(connection, _REFUTED)
    return by_call.filter(
        ~pl.col("corrected"),
        pl.col("liked") != pl.col("disliked"),
        ~pl.col("call_id").is_in(sorted(corrected)),
        ~(pl.col("disliked") & pl.col("call_id").is_in(sorted(refuted))),
        ~pl.col("contributor").is_in(sorted(_malicious(connection))),
    ).select("call_id", "liked", "contributor")


def _decided(connection: sa.Connection, verdicts: tuple[str, ...]) -> set[str]:
    """Calls of which a reviewer ever said so."""
    query = (
        sa.select(review_items.c.call_id)
        .join(decisions, decisions.c.item_id == review_items.c.item_id)
        .where(decisions.c.verdict.in_(verdicts), review_items.c.call_id.is_not(None))
    )
    return set(connection.scalars(query))


def _malicious(connection: sa.Connection) -> set[str]:
    """Contributors of something that a reviewer called malicious."""
    query = (
        sa.select(review_feedback.c.contributor)
        .join(decisions, decisions.c.item_id == review_feedback.c.item_id)
        .where(decisions.c.verdict == "malicious")
    )
    return set(connection.scalars(query))


def _evenly(rated: pl.DataFrame, rows: int) -> pl.DataFrame:
    """As many of each kind, the latest."""
    of_a_kind = pl.col("call_id").cum_count().over("liked")
    turns = rated.with_columns(turn=of_a_kind).sort("turn", "liked", maintain_order=True)
    return turns.head(rows).drop("turn")
