"""The segments that some stage of telemetry has not taken up."""

import contextlib
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from loop_platform.database import segment_hours, segments
from loop_platform.defs.telemetry.segment import Content, read_segment
from loop_platform.lake import Lake
from loop_platform.manifest import Segment

_HOUR = "%Y-%m-%d-%H:00"


def waiting_segments(connection: sa.Connection) -> list[Segment]:
    """The oldest first."""
    unsettled = sa.select(segment_hours.c.segment_id).where(~segment_hours.c.settled)
    query = (
        sa.select(segments.c.segment_id, segments.c.path, segments.c.sha256)
        .where(segments.c.segment_id.in_(unsettled))
        .order_by(segments.c.segment_id)
    )
    return [Segment(*row) for row in connection.execute(query)]


def waiting_contents(connection: sa.Connection, lake: Lake) -> Iterator[Content]:
    """What is in them; of one that the lake does not have, nothing: telemetry says so."""
    for segment in waiting_segments(connection):
        with contextlib.suppress(FileNotFoundError):
            yield read_segment(lake.read_bytes(segment.path))


def waiting_hours(connection: sa.Connection) -> set[str]:
    query = sa.select(segment_hours.c.hour).where(~segment_hours.c.settled).distinct()
    return set(connection.scalars(query))


def segments_of(connection: sa.Connection, hours: Collection[str]) -> list[str]:
    """The segments that may tell of calls of these hours, the oldest first. What is told of a call
    before it ends may stand in a segment of the next hour alone."""
    near = {*hours, *map(next_hour, hours)}
    query = sa.select(segment_hours.c.segment_id).where(segment_hours.c.hour.in_(near)).distinct()
    return sorted(connection.scalars(query))


def next_hour(hour: str) -> str:
    start = datetime.strptime(hour, _HOUR).replace(tzinfo=UTC)
    return (start + timedelta(hours=1)).strftime(_HOUR)
