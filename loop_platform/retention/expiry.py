"""Deletes the calls that are older than their tenant's time to live and that nobody labelled: from
the telemetry and signals of their hour, and from the journal.

Feedback and contributions stay: they are labels. So does what `loop_platform/retention/labels.py`
names. A batch is some hours in one transaction; the files that it replaced go ten minutes later,
when nobody reads them any more.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.database import parts
from loop_platform.defs.telemetry.parts import sweep
from loop_platform.defs.telemetry.segment import read_segment
from loop_platform.identity import first_id, hour_of
from loop_platform.lake import Lake
from loop_platform.retention.age import DAY_MS
from loop_platform.retention.labels import labelled
from loop_platform.retention.lines import line_of
from loop_platform.retention.removal import Removal, Removed
from loop_platform.retention.waiting import segments_of, waiting_hours
from loop_platform.settings import RetentionSettings

GRACE_MS: Final = 3_600_000
"""The gateway takes feedback on a call until its time to live ends; what came last has this long to
arrive before the call goes."""


@dataclass
class Expired:
    """What a run did."""

    removed: Removed = field(default_factory=Removed)
    batches: int = 0
    hours: int = 0
    """Hours that were looked at."""
    labelled: int = 0
    """Calls that are old enough, and stay because people labelled them."""
    waiting: list[str] = field(default_factory=list)
    """Hours that were left, since telemetry has not taken up all their segments."""
    swept: int = 0
    """Files, replaced earlier, that are gone now."""

    def told(self, *, dry: bool = False) -> list[str]:
        """In words."""
        removed, verb = self.removed, "would be deleted" if dry else "deleted"
        tenants = ", ".join(f"{n} of {name}" for name, n in sorted(removed.calls_by_tenant.items()))
        lines = [
            f"looked at {self.hours} hours in {self.batches} batches",
            f"{removed.calls} calls {verb}{f' ({tenants})' if tenants else ''}",
            f"{self.labelled} calls are as old and stay: people labelled them",
        ]
        if not dry:
            lines.append(
                f"{removed.lines} lines ({removed.bytes} bytes) of the journal {verb}, and"
                f" {removed.segments} of its segments altogether"
            )
            lines.append(f"{self.swept} files that earlier runs had replaced are gone")
        if self.waiting:
            lines.append(
                f"left {len(self.waiting)} hours, since telemetry has not taken up all of them:"
                f" {', '.join(self.waiting[:5])}"
            )
        return lines


@dataclass(frozen=True)
class Expiry:
    """The times to live, as of one moment."""

    database: sa.Engine
    lake: Lake
    settings: RetentionSettings
    now_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def run(self, *, dry: bool = False) -> Expired:
        """Deletes everything that is due, a batch after the other. A dry run only counts."""
        expired = Expired()
        with self.database.begin() as connection:
            hours = self._hours(connection)
            waiting = waiting_hours(connection)
            if not dry:
                expired.swept = sweep(connection, self.lake)
        expired.waiting = [hour for hour in hours if hour in waiting]
        due = [hour for hour in hours if hour not in waiting]
        size = self.settings.hours_a_batch
        for start in range(0, len(due), size):
            with self.database.begin() as connection:
                self._clear(connection, due[start : start + size], expired, dry=dry)
        if not dry and self.settings.longest is not None:
            with self.database.begin() as connection:
                self._clear_unreadable(connection, self._cutoff(self.settings.longest), expired)
        return expired

    def _hours(self, connection: sa.Connection) -> list[str]:
        """The hours with calls that may be old enough, the oldest first."""
        if self.settings.shortest is None:
            return []
        last = hour_of(self._cutoff(self.settings.shortest))
        query = sa.select(parts.c.hour).where(
            parts.c.asset == "telemetry/calls", parts.c.rows > 0, parts.c.hour <= last
        )
        return sorted(connection.scalars(query.distinct()))

    def _clear(
        self, connection: sa.Connection, hours: Sequence[str], expired: Expired, *, dry: bool
    ) -> None:
        removal = Removal(connection, self.lake, hours)
        old = self._old(connection, hours)
        spared = labelled(connection, self.lake, old[0], old[-1]) if old else set()
        doomed = set(old) - spared
        expired.batches += 1
        expired.hours += len(hours)
        expired.labelled += len(old) - len(doomed)
        if dry:
            expired.removed.calls += len(doomed)
        elif doomed:
            removal.rows(doomed, ())
            removal.lines(segments_of(connection, hours), lambda line: _stays(line, doomed))
            expired.removed.add(removal.removed)

    def _clear_unreadable(self, connection: sa.Connection, before: str, expired: Expired) -> None:
        """Lines that nobody can read may be anyone's: they go when the last tenant's calls do."""
        here = sa.and_(parts.c.corrupt > 0, sa.collate(parts.c.segment_id, "C") < before)
        found = sorted(connection.scalars(sa.select(parts.c.segment_id).where(here).distinct()))
        removal = Removal(connection, self.lake, ())
        removal.lines(found, lambda line: not read_segment(line + b"\n").aside)
        removal.aside(found, lambda line: False)
        connection.execute(sa.update(parts).where(here).values(corrupt=0))
        expired.removed.add(removal.removed)

    def _old(self, connection: sa.Connection, hours: Sequence[str]) -> list[str]:
        """The calls of these hours that are older than their tenant's time to live, by their id."""
        calls = manifest.calls(connection, self.lake, hours=hours).select("call_id", "tenant")
        by_tenant = calls.collect().partition_by("tenant", as_dict=True)
        return sorted(
            call_id
            for (tenant,), rows in by_tenant.items()
            if (days := self.settings.days_of(tenant)) is not None
            for call_id in rows["call_id"].filter(rows["call_id"] < self._cutoff(days))
        )

    def _cutoff(self, days: float) -> str:
        """Every id that is less is of a call that is older."""
        return first_id(max(0, int(self.now_ms - days * DAY_MS - GRACE_MS)))


def _stays(text: bytes, doomed: set[str]) -> bool:
    """Whether the line is of no doomed call. Feedback is of none: it is a label."""
    line = line_of(text)
    return line is None or line.called is None or line.called.call_id not in doomed
