"""Takes calls and feedback out of everything that telemetry made of them, and out of the journal.

An hour's rows and the journal segments that they came from go in one transaction, so that an hour
that is built again from its segments comes out the same. Files are never changed: what is left of
one is written beside it, and the old one is put down as superseded in that same transaction. A
crash leaves nothing that a later sweep does not take.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import msgspec
import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform import manifest
from loop_platform.database import call_counts, parts, segment_hours, segments, superseded_files
from loop_platform.defs.telemetry.conversion import CORRUPT
from loop_platform.defs.telemetry.parts import HeldHour
from loop_platform.defs.telemetry.segment import Aside
from loop_platform.lake import Lake

_aside = msgspec.json.Decoder(Aside)

Keep = Callable[[bytes], bool]
"""Whether a line of the journal stays."""


@dataclass
class Removed:
    """What went. Calls and feedback are counted as rows, lines as the journal's."""

    calls: int = 0
    feedback: int = 0
    lines: int = 0
    bytes: int = 0
    segments: int = 0
    """Journal segments of which nothing is left."""
    calls_by_tenant: dict[str, int] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    """In the lake, replaced: to be removed when nobody reads them any more."""

    def add(self, other: "Removed") -> None:
        for name in ("calls", "feedback", "lines", "bytes", "segments"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for tenant, calls in other.calls_by_tenant.items():
            self.calls_by_tenant[tenant] = self.calls_by_tenant.get(tenant, 0) + calls
        self.files |= other.files


class Removal:
    """A transaction that removes. It holds its hours: nobody converts their segments meanwhile."""

    def __init__(
        self, connection: sa.Connection, lake: Lake, hours: Iterable[str], *, alone: bool = False
    ) -> None:
        """`alone`: the transaction holds every hour, not these alone."""
        self._connection = connection
        self._lake = lake
        self.removed = Removed()
        # In one order for all, so that two removals never wait for each other.
        self._held = {
            (asset, hour): HeldHour(connection, lake, asset, hour, alone)
            for hour in sorted(set(hours))
            for asset in manifest.ASSETS
        }

    def rows(self, calls: Collection[str], feedback: Collection[str]) -> None:
        """Takes rows out of the hours, by the ids of calls and of feedback."""
        filled = self._filled()
        for (asset, hour), held in self._held.items():
            if (asset, hour) not in filled:
                continue
            gone = held.remove(feedback if asset == "telemetry/feedback" else calls)
            if asset == "telemetry/calls":
                self.removed.calls += gone.height
                self._uncount(hour, gone)
            elif asset == "telemetry/feedback":
                self.removed.feedback += gone.height
        self.removed.files |= set(self._superseded())

    def lines(self, segment_ids: Collection[str], keep: Keep) -> None:
        """Takes lines out of journal segments."""
        query = sa.select(segments).where(segments.c.segment_id.in_(segment_ids))
        for segment in self._connection.execute(query.order_by(segments.c.segment_id)).all():
            self._rewrite(segment.segment_id, segment.path, keep)

    def aside(self, segment_ids: Collection[str], keep: Keep) -> None:
        """Takes unreadable lines out of what telemetry kept aside of these segments."""
        for segment_id in segment_ids:
            path = f"{CORRUPT}/{segment_id}.jsonl"
            if self._lake.exists(path):
                before = self._lake.read_bytes(path)
                content = _kept(before, lambda aside: keep(_content(aside)))
                if not content:
                    self._supersede(path)
                elif content != before:
                    self._lake.write_bytes(path, content)

    def _rewrite(self, segment_id: str, path: str, keep: Keep) -> None:
        try:
            before = self._lake.read_bytes(path)
        except FileNotFoundError:  # telemetry said so when it read it
            return
        content = _kept(before, keep)
        if content == before:
            return
        self.removed.lines += len(before.splitlines()) - len(content.splitlines())
        self.removed.bytes += len(before) - len(content)
        if content:
            self._enter(segment_id, content, path)
        else:
            self._forget(segment_id)
        self._supersede(path)

    def _enter(self, segment_id: str, content: bytes, path: str) -> None:
        digest = hashlib.sha256(content).hexdigest()
        new = f"{path.rpartition('/')[0]}/{segment_id}-{digest[:8]}.jsonl"
        self._lake.write_bytes(new, content)
        counted = {"bytes": len(content), "lines": len(content.splitlines())}
        self._connection.execute(
            sa.update(segments)
            .where(segments.c.segment_id == segment_id)
            .values(path=new, sha256=digest, **counted)
        )

    def _forget(self, segment_id: str) -> None:
        """A segment of which nothing is left leaves the manifest too."""
        self.removed.segments += 1
        for table in (segment_hours, parts, call_counts, segments):
            self._connection.execute(sa.delete(table).where(table.c.segment_id == segment_id))
        self._supersede(f"{CORRUPT}/{segment_id}.jsonl")

    def _uncount(self, hour: str, gone: pl.DataFrame) -> None:
        """The counts that sensors look at; when they were counted stays as it is."""
        for tenant, calls in gone.group_by("tenant").len().iter_rows():
            self.removed.calls_by_tenant[tenant] = (
                self.removed.calls_by_tenant.get(tenant, 0) + calls
            )
        names = ("segment_id", "task", "release", "route")
        for *values, calls in gone.group_by(*names).len().iter_rows():
            of = zip(names, values, strict=True)
            here = sa.and_(
                call_counts.c.hour == hour, *(call_counts.c[name] == value for name, value in of)
            )
            less = sa.update(call_counts).where(here).values(calls=call_counts.c.calls - calls)
            self._connection.execute(less)
            self._connection.execute(sa.delete(call_counts).where(here, call_counts.c.calls <= 0))

    def _supersede(self, path: str) -> None:
        self._connection.execute(
            insert(superseded_files).values(path=path).on_conflict_do_nothing()
        )
        self.removed.files.add(path)

    def _superseded(self) -> Iterable[str]:
        """The files of the held hours that were replaced."""
        folders = {held.folder for held in self._held.values()}
        paths = self._connection.scalars(sa.select(superseded_files.c.path)).all()
        return [path for path in paths if path.rpartition("/")[0] in folders]

    def _filled(self) -> set[tuple[str, str]]:
        """The assets' hours that have rows at all."""
        query = sa.select(parts.c.asset, parts.c.hour).where(
            parts.c.rows > 0, parts.c.hour.in_({hour for _, hour in self._held})
        )
        return {(asset, hour) for asset, hour in self._connection.execute(query.distinct())}


def _content(aside: bytes) -> bytes:
    """The line that was kept aside."""
    return _aside.decode(aside).content.encode()


def _kept(content: bytes, keep: Keep) -> bytes:
    """The lines that stay, each with its line break. A torn last one keeps what it has."""
    return b"".join(line for line in content.splitlines(keepends=True) if keep(line.rstrip(b"\n")))
