"""Takes sealed segments to the lake and enters them in the manifest, each exactly once.

First the upload, then the manifest in one transaction, then the local file goes: a break between
any two is made good by doing it again, since a segment's name and content never change.

A thread of a worker that serves does all this, and whenever it runs Python the callers wait: it
does little a line, and never much in one step.
"""

import contextlib
import fcntl
import hashlib
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import segment_hours, segments
from loop_platform.gateway.journal import Journal, seal_abandoned, sealed_segments, segment_id_of
from loop_platform.gateway.segment import sync_folder
from loop_platform.identity import hour_at, hour_of, milliseconds_of
from loop_platform.repeating import Repeating

_INTERVAL_S = 0.5
_HOUR_MS = 3_600_000


class _Call(msgspec.Struct, tag_field="record", tag="call"):
    call_id: str


class _Feedback(msgspec.Struct, tag_field="record", tag="feedback"):
    feedback_id: str


class _Contribution(msgspec.Struct, tag_field="record", tag="contribution"):
    feedback_id: str


class _Opened(msgspec.Struct, tag_field="record", tag="opened"):
    pass


class _Continued(msgspec.Struct, tag_field="record", tag="continued"):
    pass


_line = msgspec.json.Decoder(_Call | _Feedback | _Contribution | _Opened | _Continued)


class Shipper:
    """Seals what is due, at every turn, and ships what is sealed, other workers' too."""

    def __init__(self, journal: Journal, database: sa.Engine, lake_url: str) -> None:
        self._journal = journal
        self._database = database
        self._lake_url = lake_url
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
        self._journal.seal(everything=True)
        self._turns.attempt()

    def ship(self) -> None:
        self._journal.seal()
        seal_abandoned(self._journal.folder)
        for path in sealed_segments(self._journal.folder):
            with _held(path) as mine:
                if mine:
                    self._ship(path)

    def _ship(self, path: Path) -> None:
        content = path.read_bytes()
        segment_id = segment_id_of(path)
        sealed_at = datetime.fromtimestamp(milliseconds_of(segment_id) / 1000, UTC)
        relative = f"segments/{sealed_at:%Y-%m-%d}/{path.name}"
        upload(content, self._lake_url, relative)
        row = {
            "segment_id": segment_id,
            "path": relative,
            "bytes": len(content),
            "lines": content.count(b"\n") + (not content.endswith(b"\n")),
            "sha256": hashlib.sha256(content).hexdigest(),
            "sealed_at": sealed_at,
        }
        hours = hours_of(content) or {hour_of(segment_id)}
        with self._database.begin() as connection:
            connection.execute(insert(segments).values(row).on_conflict_do_nothing())
            connection.execute(
                insert(segment_hours)
                .values([{"segment_id": segment_id, "hour": hour} for hour in sorted(hours)])
                .on_conflict_do_nothing()
            )
        path.unlink()


def upload(content: bytes, lake_url: str, relative: str) -> None:
    """Puts `content` into the lake; on a local disk, for good, since the original goes next."""
    filesystem, root = fsspec.core.url_to_fs(lake_url)
    path = f"{root.rstrip('/')}/{relative}"
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    with filesystem.open(path, "wb") as file:
        file.write(content)
        if "file" in filesystem.protocol:
            file.flush()
            os.fsync(file.fileno())
    if "file" in filesystem.protocol:
        sync_folder(Path(path).parent)


def hours_of(content: bytes) -> set[str]:
    """The hourly partitions that a segment's readable lines belong to: calls by their own id's
    hour, feedback and contributions by their arrival's."""
    hours = set()
    for line in io.BytesIO(content):
        with contextlib.suppress(ValueError):  # torn or corrupt: telemetry sets it aside
            record = _line.decode(line)
            if isinstance(record, _Opened | _Continued):
                continue
            identifier = record.call_id if isinstance(record, _Call) else record.feedback_id
            hours.add(milliseconds_of(identifier) // _HOUR_MS)
    return {hour_at(hour * _HOUR_MS) for hour in hours}


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
