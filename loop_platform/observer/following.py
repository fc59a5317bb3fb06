"""Follows the manifest: every segment once, in the transaction that notes that it was seen.

Several may follow at the same time; none sees what another is at.
"""

from collections.abc import Callable

import sqlalchemy as sa

from loop_platform.database import segments
from loop_platform.defs.telemetry.segment import read_segment
from loop_platform.lake import Lake
from loop_platform.records import Record

Take = Callable[[sa.Connection, list[Record]], None]


class Following:
    """Gives each segment's records to `take`. What it does on the connection happens once; what it
    does elsewhere happens at least once, since a break between is made good by doing it again."""

    def __init__(
        self, database: sa.Engine, lake: Lake, seen: "sa.Column[bool]", take: Take
    ) -> None:
        self._database = database
        self._lake = lake
        self._seen = seen
        self._take = take

    def step(self) -> None:
        """Takes everything that is there, the oldest first."""
        while self._next():
            pass

    def _next(self) -> bool:
        query = (
            sa.select(segments.c.segment_id, segments.c.path)
            .where(~self._seen)
            .order_by(segments.c.segment_id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._database.begin() as connection:
            segment = connection.execute(query).one_or_none()
            if segment is None:
                return False
            self._take(connection, self._records(segment.path))
            mine = segments.c.segment_id == segment.segment_id
            connection.execute(sa.update(segments).where(mine).values({self._seen: True}))
        return True

    def _records(self, path: str) -> list[Record]:
        try:
            content = read_segment(self._lake.read_bytes(path))
        except FileNotFoundError:  # telemetry says so aloud
            return []
        calls = [call for hour in content.calls.values() for call in hour]
        given = [one for hour in content.feedback.values() for one in hour]
        return [*calls, *given]
