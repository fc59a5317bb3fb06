"""Parts: immutable Parquet made of one segment for one hour, and their compaction."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform import manifest
from loop_platform.database import parts, segment_hours, superseded_files
from loop_platform.lake import Lake
from loop_platform.tables import KEYS, schema

# So many small files of an hour that is not over yet are merged into one.
_MERGE = 32
# A merged file's parts are left in place for those who are reading them.
_KEPT = timedelta(minutes=10)

_EVERY_HOUR = 7_300_003
"""Advisory lock: shared by who holds an hour, exclusive for who holds them all."""


@dataclass(frozen=True)
class HeldHour:
    """An hour of an asset, which nobody else changes until the transaction ends.

    A file is written before its row: a crash between leaves a file that the next run writes again.
    """

    connection: sa.Connection
    lake: Lake
    asset: str
    hour: str
    alone: bool = False
    """The transaction holds every hour already: `hold_every_hour`."""

    def __post_init__(self) -> None:
        if self.alone:
            return
        self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_EVERY_HOUR)))
        name = sa.func.hashtextextended(f"{self.asset} {self.hour}", 0)
        self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(name)))

    def parts(self) -> list[manifest.Part]:
        return manifest.parts_of(self.connection, self.asset, self.hour)

    def pending(self) -> list[manifest.Segment]:
        return manifest.pending_segments(self.connection, self.asset, self.hour)

    def write_part(self, segment_id: str, frame: pl.DataFrame, corrupt: int = 0) -> None:
        """Write what a segment brought and enter it; of no rows, the entry alone."""
        path = f"{self.folder}/{segment_id}.parquet"
        if frame.height:
            self._write(frame, path)
        row = {"asset": self.asset, "hour": self.hour, "segment_id": segment_id, "path": path}
        counts = {"rows": frame.height, "corrupt": corrupt}
        self.connection.execute(insert(parts).values(row | counts))

    def without_known(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows whose id no part of the hour has: a segment shipped twice adds nothing."""
        if frame.is_empty():
            return frame
        key = KEYS[self.asset]
        first, last = pl.lit(frame[key].first()), pl.lit(frame[key].last())
        known = (
            manifest.rows(self.connection, self.lake, self.asset, hours=[self.hour])
            .filter(pl.col(key).is_between(first, last))
            .select(key)
            .collect()
        )
        return frame.join(known, on=key, how="anti", maintain_order="left")

    def forget(self) -> int:
        """Take the parts out of the manifest, so that they are made again; says how many."""
        known = self.parts()
        self._supersede({part.path for part in known if part.rows})
        self.connection.execute(sa.delete(parts).where(self._mine))
        return len(known)

    def remove(self, ids: Collection[str]) -> pl.DataFrame:
        """Take the rows with these ids out of the hour, and return them. The files that they were
        in are replaced; who reads one meanwhile still finds it."""
        key = KEYS[self.asset]
        removed = [self.lake.scan([], schema(self.asset)).collect()]
        for path in {part.path for part in self.parts() if part.rows}:
            frame = self.lake.scan([path], schema(self.asset)).collect()
            gone = pl.col(key).is_in(list(ids))
            removed.append(frame.filter(gone))
            if removed[-1].height:
                self._replace(path, frame.filter(~gone))
        return pl.concat(removed)

    def compact(self) -> int:
        """Merge the files of a closed hour into one, of an open hour when many are small.

        Returns how many files were merged. The same rows give the same file, whatever segments
        they came in.
        """
        files: dict[str, list[manifest.Part]] = {}
        for part in self.parts():
            if part.rows:
                files.setdefault(part.path, []).append(part)
        if manifest.is_closed(self.hour):
            whole = all(part.compacted for same in files.values() for part in same)
            due = [] if whole else list(files)
        else:
            small = [path for path, same in files.items() if len(same) < _MERGE]
            due = small if len(small) >= _MERGE else []
        if due:
            self._merge(due)
        sweep(self.connection, self.lake)
        return len(due)

    @property
    def folder(self) -> str:
        return f"{self.asset}/{self.hour.replace(':', '')}"

    @property
    def _mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(parts.c.asset == self.asset, parts.c.hour == self.hour)

    def _replace(self, path: str, frame: pl.DataFrame) -> None:
        """The rows that are left of a file, in a file of their own."""
        left = dict(frame.group_by("segment_id").len().iter_rows())
        new = self._named(frame)
        if frame.height:
            self._write(frame, new)
        for part in self.parts():
            if part.path == path:
                self.connection.execute(
                    sa.update(parts)
                    .where(self._mine, parts.c.segment_id == part.segment_id)
                    .values(path=new, rows=left.get(part.segment_id, 0))
                )
        self._supersede({path})

    def _named(self, frame: pl.DataFrame) -> str:
        """A path that the ids alone decide."""
        ids = hashlib.sha256("".join(frame[KEYS[self.asset]]).encode()).hexdigest()[:16]
        return f"{self.folder}/merged-{ids}.parquet"

    def _merge(self, paths: Collection[str]) -> None:
        key = KEYS[self.asset]
        frame = self.lake.scan(sorted(paths), schema(self.asset)).sort(key).collect()
        path = self._named(frame)
        self._write(frame, path)
        self.connection.execute(
            sa.update(parts)
            .where(self._mine, parts.c.path.in_(paths))
            .values(path=path, compacted=manifest.is_closed(self.hour))
        )
        self._supersede(set(paths) - {path})

    def _write(self, frame: pl.DataFrame, path: str) -> None:
        self.lake.write(frame, path)
        self.connection.execute(sa.delete(superseded_files).where(superseded_files.c.path == path))

    def _supersede(self, paths: Collection[str]) -> None:
        rows = [{"path": path} for path in sorted(paths)]
        if rows:
            self.connection.execute(insert(superseded_files).values(rows).on_conflict_do_nothing())


def hold_every_hour(connection: sa.Connection) -> None:
    """Waits until nobody holds an hour, and lets nobody hold one until the transaction ends. A lock
    for each of some thousand hours would be more than PostgreSQL has room for."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_EVERY_HOUR)))


def sweep(connection: sa.Connection, lake: Lake) -> int:
    """Remove the files that were replaced a while ago; says how many."""
    old = superseded_files.c.superseded_at < sa.func.clock_timestamp() - _KEPT
    gone = sa.delete(superseded_files).where(old).returning(superseded_files.c.path)
    paths = connection.scalars(gone).all()
    for path in paths:
        lake.remove(path)
    return len(paths)


def settle(connection: sa.Connection, hour: str) -> None:
    """Mark the hour's segments that every telemetry asset has a part of."""
    made = (
        sa.select(parts.c.segment_id)
        .where(parts.c.hour == hour, parts.c.asset.in_(manifest.ASSETS))
        .group_by(parts.c.segment_id)
        .having(sa.func.count() == len(manifest.ASSETS))
    )
    connection.execute(
        sa.update(segment_hours)
        .where(segment_hours.c.hour == hour, segment_hours.c.segment_id.in_(made))
        .values(settled=True)
    )
