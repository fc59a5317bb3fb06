"""The calls that are compared: those of now, and those that the champion was judged on."""

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import call_counts, releases, routes
from loop_platform.defs.monitoring.drift import FEWEST
from loop_platform.drilling.names import TASKS as DRILLS
from loop_platform.lake import Lake

ASKED = ("champion", "external")
"""The routes whose prompts are what callers ask: a team that sends telemetry in has no other."""


@dataclass(frozen=True)
class Champion:
    """The release that serves, and since when."""

    release: str
    since: datetime

    @property
    def first_id(self) -> str:
        """What the id of every call since then sorts after."""
        digits = f"{int(self.since.timestamp() * 1000):012x}"
        return f"{digits[:8]}-{digits[8:]}-"

    @property
    def hour(self) -> str:
        return self.since.astimezone(UTC).strftime("%Y-%m-%d-%H:00")


@dataclass(frozen=True)
class Windows:
    """Two windows of one population."""

    reference: pl.DataFrame
    current: pl.DataFrame


def champion(connection: sa.Connection) -> Champion | None:
    query = sa.select(releases.c.release, releases.c.state_since).join(
        routes, routes.c.champion == releases.c.release
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Champion(row.release, row.state_since)


def tasks(connection: sa.Connection, hour: str) -> list[str]:
    """The tasks that callers have asked for until this hour; a drill is no caller."""
    query = sa.select(call_counts.c.task.distinct()).where(
        call_counts.c.route.in_(ASKED),
        call_counts.c.hour <= hour,
        call_counts.c.task.not_in(DRILLS),
    )
    return sorted(connection.scalars(query))


@dataclass(frozen=True)
class TaskCalls:
    """The signals of a task's calls until an hour, of as few hours as will do."""

    connection: sa.Connection
    lake: Lake
    task: str
    hour: str
    window: int

    def prompts(self, serving: Champion) -> Windows | None:
        """What callers asked champions, or others: before the promotion, and now."""
        asked = call_counts.c.route.in_(ASKED)
        return self._windows(asked, pl.col("route").is_in(ASKED), serving)

    def answers(self, serving: Champion) -> Windows | None:
        """What this champion answered: in its trials, on the window it was judged on, and now."""
        own = call_counts.c.release == serving.release
        return self._windows(own, pl.col("release") == serving.release, serving)

    def _windows(
        self, counted: sa.ColumnElement[bool], wanted: pl.Expr, serving: Champion
    ) -> Windows | None:
        rows = self._read(counted, serving).filter(wanted)
        promoted = pl.col("call_id") > serving.first_id
        before = rows.filter(~promoted)
        after = rows.filter(promoted, pl.col("route").is_in(ASKED))
        if before.height < FEWEST:  # a new task, or the first release: its own first calls
            before, after = after.head(self.window), after.slice(self.window)
        current = after.tail(self.window)
        if min(before.height, current.height) < FEWEST:
            return None
        return Windows(before.tail(self.window), current)

    def _read(self, counted: sa.ColumnElement[bool], serving: Champion) -> pl.DataFrame:
        latest = self._hours(counted, call_counts.c.hour <= self.hour, newest=True)
        before = self._hours(counted, call_counts.c.hour <= serving.hour, newest=True)
        first = self._hours(counted, call_counts.c.hour >= serving.hour, newest=False)
        hours = {hour for hour in latest | before | first if hour <= self.hour}
        return manifest.signals(self.connection, self.lake, hours=hours, task=self.task).collect()

    def _hours(
        self, counted: sa.ColumnElement[bool], when: sa.ColumnElement[bool], *, newest: bool
    ) -> set[str]:
        """Hours, from one end, that hold a window and the one that may share their first hour."""
        hour = call_counts.c.hour
        query = (
            sa.select(hour, sa.func.sum(call_counts.c.calls))
            .where(call_counts.c.task == self.task, counted, when)
            .group_by(hour)
            .order_by(hour.desc() if newest else hour)
            .limit(24 * 14)
        )
        found: set[str] = set()
        wanted = 2 * self.window
        for name, calls in self.connection.execute(query):
            if wanted <= 0:
                break
            found.add(name)
            wanted -= int(calls)
        return found
