"""The journal: every call and every piece of feedback, on disk before the answer's last byte.

Records are appended to `<id>.open.jsonl`, one write each, so they outlive the process; sealing
forces them to the disk too, so a power cut can take the last seconds (`segment_max_age_s`) unless
each is waited for (commit.py). A sealed file, `<segment_id>.jsonl`, is changed by nobody. The file
lock on an open file tells the other workers, and the next start, that its writer lives.

Streams are entered when they begin, too: what an open file holds of them is all that stays when its
writer is killed (recovery.py). Therefore a worker's streams are always all in the file that it
writes: those under way go with it from one file to the next.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from loop_platform.gateway.contents import Contents
from loop_platform.gateway.recovery import seal_abandoned
from loop_platform.gateway.segment import OPEN_SUFFIX, SEALED_SUFFIX, Segment
from loop_platform.records import Call, Continued, Opened, Record

__all__ = [
    "OPEN_SUFFIX",
    "SEALED_SUFFIX",
    "Journal",
    "JournalError",
    "UnredactedError",
    "seal_abandoned",
    "sealed_segments",
    "segment_id_of",
]

_encoder = msgspec.json.Encoder()

_CONTINUED = _encoder.encode(Continued()) + b"\n"


class JournalError(OSError):
    """A record could not be written: the disk is full, or worse."""

    code = "journal_unwritable"
    reason = "the disk is full"
    """What a caller is told."""


class UnredactedError(RuntimeError):
    """A defect: a record with personal data in it was about to be written."""


class Journal:
    """This worker's segments. Safe to use from several threads."""

    def __init__(
        self,
        folder: Path,
        max_age_s: float,
        max_bytes: int,
        redacting: frozenset[str] = frozenset(),
    ) -> None:
        """`redacting`: the tenants whose records are taken only without personal data."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.unwritten = 0
        """Records that could not be written since the start."""
        self.when_full: Callable[[], None] = lambda: None
        """Called when a segment reached its size, so that `seal` has something to do."""
        self._redacting = redacting
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._sealing = threading.Lock()
        self._segment: Segment | None = None
        self._finished: deque[Segment] = deque()
        self._streams: dict[str, bytes] = {}
        """The entries of those under way."""
        self._unsynced: set[Segment] = set()

    def append(self, record: Record) -> None:
        """Writes one record; `JournalError` when it is not on disk. A call ends its stream."""
        if self._redacting:
            self._check(record)
        line = _encoder.encode(record) + b"\n"
        try:
            if isinstance(record, Call):
                self._append(line, record.call_id, ends=record.call_id)
            else:
                self._append(line, record.feedback_id)
        except JournalError:
            self.unwritten += 1
            raise

    def open(self, call: Call) -> None:
        """Enters a stream that begins: `call` is what is recorded of it if this worker is killed
        before it ends. `JournalError` when it is not on disk."""
        if self._redacting:
            self._check(call)
        self._append(_encoder.encode(Opened(call)) + b"\n", begins=call.call_id)

    def seal(self, *, everything: bool = False) -> dict[Path, Contents]:
        """Seals what is old or large enough, or everything; says what is in what it sealed."""
        with self._lock:
            segment = self._segment
            if segment is not None and (everything or self._old(segment)):
                self._finish()
        contents = {}
        with self._sealing:
            while self._finished:
                sealed = self._finished[0]
                sealed.seal()
                self._finished.popleft()
                if not sealed.torn:
                    contents[sealed.path] = sealed.contents
        return contents

    def sync(self) -> None:
        """Forces everything written so far to the disk; `OSError` where that fails."""
        with self._lock:
            unsynced, self._unsynced = self._unsynced, set()
        with self._sealing:
            try:
                for segment in unsynced:
                    if not segment.sealed:
                        segment.sync()
            except OSError:
                with self._lock:
                    self._unsynced |= unsynced
                raise

    def _check(self, record: Record) -> None:
        """Nothing gets past this, whichever way it came."""
        if record.redacted is None and record.tenant in self._redacting:
            raise UnredactedError(f"a record of {record.tenant!r} was not redacted")

    def _append(
        self,
        line: bytes,
        identifier: str | None = None,
        *,
        begins: str | None = None,
        ends: str | None = None,
    ) -> None:
        with self._lock:
            if ends is not None:
                self._streams.pop(ends, None)
            try:
                if self._segment is None:
                    self._segment = self._begun()
                self._segment.write(line, identifier=identifier)
            except OSError as error:
                if self._segment is not None and self._segment.torn:
                    self._finish()
                raise JournalError(
                    error.errno, f"the journal in {self.folder} cannot be written: {error}"
                ) from error
            if begins is not None:
                self._streams[begins] = line
            self._unsynced.add(self._segment)
            full = self._segment.size >= self._max_bytes
            if full:
                self._finish()
        if full:
            self.when_full()

    def _begun(self) -> Segment:
        """A new segment, with the streams that are under way."""
        segment = _new_segment(self.folder)
        try:
            segment.write(b"".join(self._streams.values()), len(self._streams))
        except OSError:
            segment.discard()
            raise
        return segment

    def _old(self, segment: Segment) -> bool:
        return time.monotonic() - segment.opened_at >= self._max_age_s

    def _finish(self) -> None:
        """Lets the next segment begin: at once where streams are under way, which it takes over.
        Where it cannot be made, the next record is what meets the error."""
        finished, self._segment = self._segment, None
        if finished is None:
            return
        if self._streams:
            with contextlib.suppress(OSError):
                self._segment = self._begun()
                finished.write(_CONTINUED)
        self._finished.append(finished)


def sealed_segments(folder: Path) -> list[Path]:
    """Those that wait to be shipped, the oldest first."""
    return sorted(
        path for path in folder.glob(f"*{SEALED_SUFFIX}") if not path.name.endswith(OPEN_SUFFIX)
    )


def segment_id_of(path: Path) -> str:
    return path.name.removesuffix(SEALED_SUFFIX)


def _new_segment(folder: Path) -> Segment:
    while True:
        with contextlib.suppress(BlockingIOError):
            return Segment(folder)
