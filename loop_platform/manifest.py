"""The manifest: which segments there are, what was made of them, and how to read it.

An hour of an asset is the set of its parts in PostgreSQL; a file in the lake that no part names is
not there. Everyone reads calls, feedback and signals through the three functions below.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import sqlalchemy as sa

from loop_platform.database import parts, segment_hours, segments
from loop_platform.identity import hour_of
from loop_platform.lake import Lake
from loop_platform.tables import KEYS, schema

# Made of the segments themselves; each has a part, maybe an empty one, for each segment and hour.
ASSETS = ("telemetry/calls", "telemetry/feedback", "monitoring/signals")

_HOUR = "%Y-%m-%d-%H:00"
# Segments of an hour go on arriving for a while after its end.
_GRACE = timedelta(minutes=2)


@dataclass(frozen=True)
class Segment:
    segment_id: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Part:
    """What one segment brought to one hour of an asset. Compacted parts share a file."""

    segment_id: str
    path: str
    rows: int
    corrupt: int
    compacted: bool


def is_closed(hour: str, now: datetime | None = None) -> bool:
    """Whether an hour is over, and its stragglers had time to arrive."""
    end = datetime.strptime(hour, _HOUR).replace(tzinfo=UTC) + timedelta(hours=1)
    return (now or datetime.now(UTC)) > end + _GRACE


@dataclass(frozen=True)
class Pending:
    """What an hour waits for."""

    segments: int
    newest: str


def pending_hours(connection: sa.Connection) -> dict[str, Pending]:
    """Hours with segments that not every telemetry asset has a part of."""
    query = (
        sa.select(segment_hours.c.hour, sa.func.count(), sa.func.max(segment_hours.c.segment_id))
        .where(~segment_hours.c.settled)
        .group_by(segment_hours.c.hour)
        .order_by(segment_hours.c.hour)
    )
    return {hour: Pending(count, newest) for hour, count, newest in connection.execute(query)}


def uncompacted_hours(connection: sa.Connection) -> list[str]:
    """Closed hours with parts that are files of their own."""
    query = (
        sa.select(parts.c.hour)
        .where(~parts.c.compacted, parts.c.rows > 0, parts.c.asset.in_(ASSETS))
        .distinct()
        .order_by(parts.c.hour)
    )
    return [hour for hour in connection.scalars(query) if is_closed(hour)]


def pending_segments(connection: sa.Connection, asset: str, hour: str) -> list[Segment]:
    """The segments of an hour that the asset has no part of, oldest first."""
    seen = sa.exists().where(
        parts.c.asset == asset, parts.c.hour == hour, parts.c.segment_id == segments.c.segment_id
    )
    query = (
        sa.select(segments.c.segment_id, segments.c.path, segments.c.sha256)
        .join(segment_hours, segment_hours.c.segment_id == segments.c.segment_id)
        .where(segment_hours.c.hour == hour, ~seen)
        .order_by(segments.c.segment_id)
    )
    return [Segment(*row) for row in connection.execute(query)]


def parts_of(connection: sa.Connection, asset: str, hour: str) -> list[Part]:
    """The parts of an hour, oldest segment first; those without rows too."""
    query = (
        sa.select(
            parts.c.segment_id, parts.c.path, parts.c.rows, parts.c.corrupt, parts.c.compacted
        )
        .where(parts.c.asset == asset, parts.c.hour == hour)
        .order_by(parts.c.segment_id)
    )
    return [Part(*row) for row in connection.execute(query)]


def rows(
    connection: sa.Connection,
    lake: Lake,
    asset: str,
    *,
    since: str | None = None,
    until: str | None = None,
    hours: Collection[str] | None = None,
) -> pl.LazyFrame:
    """The rows of an asset with `since` < id <= `until`, by their id, as they were written."""
    key = pl.col(KEYS[asset])
    hour = parts.c.hour
    within: list[pl.Expr] = []
    query = sa.select(parts.c.path).where(parts.c.asset == asset, parts.c.rows > 0)
    if since is not None:
        query, within = query.where(hour >= hour_of(since)), [*within, key > since]
    if until is not None:
        query, within = query.where(hour <= hour_of(until)), [*within, key <= until]
    if hours is not None:
        query = query.where(hour.in_(hours))
    files = sorted(connection.scalars(query.distinct()))
    frame = lake.scan(files, schema(asset)).sort(KEYS[asset])
    return frame.filter(within) if within else frame


def calls(
    connection: sa.Connection,
    lake: Lake,
    *,
    since: str | None = None,
    until: str | None = None,
    hours: Collection[str] | None = None,
    task: str | None = None,
    release: str | None = None,
    route: str | None = None,
) -> pl.LazyFrame:
    """Calls with `since` < id <= `until`, by their id; of all routes unless one is named."""
    frame = rows(connection, lake, "telemetry/calls", since=since, until=until, hours=hours)
    return _only(frame, task=task, release=release, route=route)


def signals(
    connection: sa.Connection,
    lake: Lake,
    *,
    since: str | None = None,
    until: str | None = None,
    hours: Collection[str] | None = None,
    task: str | None = None,
    release: str | None = None,
    route: str | None = None,
) -> pl.LazyFrame:
    """A row a call: its signals, embedding and flags."""
    frame = rows(connection, lake, "monitoring/signals", since=since, until=until, hours=hours)
    return _only(frame, task=task, release=release, route=route)


def feedback(
    connection: sa.Connection,
    lake: Lake,
    *,
    since: str | None = None,
    until: str | None = None,
    hours: Collection[str] | None = None,
    task: str | None = None,
    release: str | None = None,
    route: str | None = None,
) -> pl.LazyFrame:
    """Feedback and contributions by their id, with `task`, `release` and `route` of the call.

    The call is found through the hour in its id, however old; one that has not arrived yet leaves
    nulls, and is found by the next who reads.
    """
    frame = rows(
        connection, lake, "telemetry/feedback", since=since, until=until, hours=hours
    ).collect()
    named = frame["call_id"].drop_nulls().unique().to_list()
    called = (
        calls(connection, lake, hours={hour_of(call_id) for call_id in named})
        .filter(pl.col("call_id").is_in(named))
        .select("call_id", "release", "route", called_task="task")
    )
    joined = (
        frame.lazy()
        .join(called, on="call_id", how="left", maintain_order="left")
        .with_columns(task=pl.coalesce("task", "called_task"))
        .drop("called_task")
    )
    return _only(joined, task=task, release=release, route=route)


def _only(frame: pl.LazyFrame, **wanted: str | None) -> pl.LazyFrame:
    for name, value in wanted.items():
        if value is not None:
            frame = frame.filter(pl.col(name) == value)
    return frame
