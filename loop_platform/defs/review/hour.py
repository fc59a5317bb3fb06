"""Of one hour: what is new to the queue, and the items that it brought."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import parts, review_feedback, review_items
from loop_platform.defs.review.candidates import Candidate, from_calls, from_contributions
from loop_platform.identity import hour_of
from loop_platform.lake import Lake

_ITEM_COLUMNS = pl.Schema(
    {
        "item_id": pl.String,
        "call_id": pl.String,
        "tenant": pl.String,
        "task": pl.String,
        "release": pl.String,
        "cluster": pl.String,
        "harm": pl.Float64,
        "uncertainty": pl.Float64,
        "flags": pl.Int64,
        "feedback": pl.Int64,
        "corrected": pl.Boolean,
    }
)


@dataclass(frozen=True)
class News:
    """What an hour has that the queue does not know, and what was left aside."""

    candidates: list[Candidate]
    flagged: int
    said: int
    late: int
    """Feedback whose call has not arrived: it is seen again with the call's segment."""


def news(connection: sa.Connection, lake: Lake, hour: str) -> News:
    """Flagged calls of the hour, and feedback that arrived in it or is on a call of it."""
    feedback = _new_feedback(connection, lake, hour)
    flagged = _new_flagged(connection, lake, hour)
    arrived = feedback.filter(pl.col("route").is_not_null())
    named = sorted({*flagged["call_id"], *arrived["call_id"]})
    hours = {hour_of(call_id) for call_id in named}
    wanted = pl.col("call_id").is_in(named)
    calls = manifest.calls(connection, lake, hours=hours).filter(wanted).collect()
    signals = (
        manifest.signals(connection, lake, hours=hours)
        .filter(wanted)
        .select("call_id", "embedding", "flags")
        .collect()
    )
    contributions = feedback.filter(pl.col("record") == "contribution")
    return News(
        candidates=[*from_calls(calls, signals, arrived), *from_contributions(contributions)],
        flagged=flagged.height,
        said=feedback.height,
        late=feedback.height - arrived.height - contributions.height,
    )


def items(connection: sa.Connection, hour: str) -> pl.DataFrame:
    """The queue's items that came from this hour, whenever they were last changed."""
    start = _start(hour)
    first, past = (_id_prefix(at) for at in (start, start + timedelta(hours=1)))
    item_id = sa.collate(review_items.c.item_id, "C")
    said = sa.select(review_feedback.c.item_id).where(
        review_feedback.c.received_at >= start,
        review_feedback.c.received_at < start + timedelta(hours=1),
    )
    query = (
        sa.select(
            *(review_items.c[name] for name in list(_ITEM_COLUMNS)[:8]),
            sa.func.jsonb_array_length(review_items.c.flags),
            sa.func.jsonb_array_length(review_items.c.feedback),
            review_items.c.proposed.is_not(None),
        )
        .where(sa.or_(sa.and_(item_id >= first, item_id < past), review_items.c.item_id.in_(said)))
        .order_by(item_id)
    )
    rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=_ITEM_COLUMNS, orient="row")


def _new_feedback(connection: sa.Connection, lake: Lake, hour: str) -> pl.DataFrame:
    """Feedback of this hour and, on calls of this hour, of the hours since."""
    later = sa.select(parts.c.hour.distinct()).where(
        parts.c.asset == "telemetry/feedback", parts.c.hour >= hour, parts.c.rows > 0
    )
    found = manifest.feedback(connection, lake, hours=set(connection.scalars(later))).collect()
    concerned = [
        arrived == hour or (call_id is not None and hour_of(call_id) == hour)
        for arrived, call_id in found.select("hour", "call_id").iter_rows()
    ]
    feedback = found.filter(pl.Series(concerned, dtype=pl.Boolean))
    known = sa.select(review_feedback.c.feedback_id).where(
        review_feedback.c.feedback_id.in_(feedback["feedback_id"].to_list())
    )
    return feedback.filter(~pl.col("feedback_id").is_in(connection.scalars(known).all()))


def _new_flagged(connection: sa.Connection, lake: Lake, hour: str) -> pl.DataFrame:
    flagged = (
        manifest.signals(connection, lake, hours={hour})
        .filter(pl.col("flags") != "[]", pl.col("route") != "shadow")
        .select("call_id")
        .collect()
    )
    known = sa.select(review_items.c.item_id).where(
        review_items.c.item_id.in_(flagged["call_id"].to_list())
    )
    return flagged.filter(~pl.col("call_id").is_in(connection.scalars(known).all()))


def _start(hour: str) -> datetime:
    return datetime.strptime(hour, "%Y-%m-%d-%H:%M").replace(tzinfo=UTC)


def _id_prefix(at: datetime) -> str:
    """What every UUIDv7 minted from `at` on sorts after."""
    digits = f"{int(at.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}"
