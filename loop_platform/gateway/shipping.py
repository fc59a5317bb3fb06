"""Takes sealed segments to the lake and enters them in the manifest, each exactly once.

First the upload, then the manifest in one transaction, then the local file goes: a break between
any two is made good by doing it again, since a segment's name and content never change.

A thread of a worker that serves does all this, and callers wait for what it does: a segment that
was written here is not read again, and not copied where the lake is on the same disk.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import segment_hours, segments
from loop_platform.gateway.contents import Contents
from loop_platform.gateway.journal import Journal, seal_abandoned, sealed_segments, segment_id_of
from loop_platform.gateway.segment import sync_folder
from loop_platform.identity import hour_of, milliseconds_of
from loop_platform.repeating import Repeating

_INTERVAL_S = 0.5


class Shipper:
    """Seals what is due, at every turn, and ships what is sealed, other workers' too."""

    def __init__(self, journal: Journal, database: sa.Engine, lake_url: str) -> None:
        self._journal = journal
        self._database = database
        self._lake_url = lake_url
        self._written: dict[Path, Contents] = {}
        """What is in those that this process wrote, until they are shipped."""
        self._turns = Repeating("shipping of the journal", self.ship, _INTERVAL_S)

    @property
    def alive(self) -> bool:
        return self._turns.alive

    def start(self) -> None:
        self._turns.start()

    def wake(self) -> None:
        self._turns.wake()

    def stop(self) -> None:
        """Seals everything and tries once more to ship it; what stays is shipped at the next
        start."""
        self._turns.stop()
        self._written |= self._journal.seal(everything=True)
        self._turns.attempt()

    def ship(self) -> None:
        self._written |= self._journal.seal()
        seal_abandoned(self._journal.folder)
        sealed = sealed_segments(self._journal.folder)
        self._written = {path: self._written[path] for path in sealed if path in self._written}
        for path in sealed:
            with _held(path) as mine:
                if mine:
                    self._ship(path)

    def _ship(self, path: Path) -> None:
        contents = self._written.get(path) or Contents.read(path.read_bytes())
        segment_id = segment_id_of(path)
        sealed_at = datetime.fromtimestamp(milliseconds_of(segment_id) / 1000, UTC)
        relative = f"segments/{sealed_at:%Y-%m-%d}/{path.name}"
        put(path, self._lake_url, relative)
        row = {
            "segment_id": segment_id,
            "path": relative,
            "bytes": contents.bytes,
            "lines": contents.lines,
            "sha256": contents.sha256,
            "sealed_at": sealed_at,
        }
        hours = contents.hours or {hour_of(segment_id)}
        with self._database.begin() as connection:
            connection.execute(insert(segments).values(row).on_conflict_do_nothing())
            connection.execute(
                insert(segment_hours)
                .values([{"segment_id": segment_id, "hour": hour} for hour in sorted(hours)])
                .on_conflict_do_nothing()
            )
        path.unlink()


def put(path: Path, lake_url: str, relative: str) -> None:
    """Puts a file into the lake; on a local disk, for good, since the original goes next."""
    filesystem, root = fsspec.core.url_to_fs(lake_url)
    target = f"{root.rstrip('/')}/{relative}"
    filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
    if "file" in filesystem.protocol:
        _put_on_disk(path, Path(target))
        return
    with filesystem.open(target, "wb") as file:
        file.write(path.read_bytes())


def _put_on_disk(path: Path, target: Path) -> None:
    """Where the lake is on the journal's disk the file only gets a second name: nobody changes it
    under either."""
    draft = target.with_name(f".{target.name}")
    draft.unlink(missing_ok=True)
    try:
        os.link(path, draft)
    except OSError:  # another disk, or one without links
        shutil.copyfile(path, draft)
    draft.chmod(target.parent.stat().st_mode & 0o666)  # the journal's own are for its writer alone
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)
    draft.unlink(missing_ok=True)  # two names of one file stay two
    sync_folder(target.parent)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Whether the segment is there and no other worker is shipping it."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = path.exists()
    except BlockingIOError:
        mine = False
    try:
        yield mine
    finally:
        os.close(file)
