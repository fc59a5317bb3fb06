"""The journal: every call and every piece of feedback, on disk before the answer's last byte.

Records are appended to `<id>.open.jsonl`, one write each, so they outlive the process; sealing
forces them to the disk too, so a power cut can take the last seconds (`segment_max_age_s`). A
sealed file, `<segment_id>.jsonl`, is changed by nobody. The file lock on an open file tells the
other workers, and the next start, that its writer lives.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from loop_platform.identity import new_id
from loop_platform.records import Record

OPEN_SUFFIX = ".open.jsonl"
SEALED_SUFFIX = ".jsonl"

_encoder = msgspec.json.Encoder()


class JournalError(OSError):
    """A record could not be written: the disk is full, or worse."""


class _Segment:
    """A file that is being written, by this process alone."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{new_id()}{OPEN_SUFFIX}"
        self.opened_at = time.monotonic()
        self.size = 0
        self.torn = False
        """A part of a record is at the end, and could not be taken back."""
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._file).st_nlink == 0:
                raise BlockingIOError(f"{self.path} is gone")
        except (
            BlockingIOError
        ):  # another worker's `seal_abandoned` was quicker: it removes the file
            os.close(self._file)
            raise

    def write(self, line: bytes) -> None:
        """Appends a whole line, or nothing."""
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:] if written else line)
        except OSError:
            self.torn = True
            os.ftruncate(self._file, self.size)
            self.torn = False
            raise
        self.size += written

    def seal(self) -> None:
        if self.size == 0 and not self.torn:
            self.path.unlink()
        else:
            os.fsync(self._file)
            _seal(self.path)
        os.close(self._file)


class Journal:
    """This worker's segments. Safe to use from several threads."""

    def __init__(self, folder: Path, max_age_s: float, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.unwritten = 0
        """Records that could not be written since the start."""
        self.when_full: Callable[[], None] = lambda: None
        """Called when a segment reached its size, so that `seal` has something to do."""
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._sealing = threading.Lock()
        self._segment: _Segment | None = None
        self._finished: deque[_Segment] = deque()

    def append(self, record: Record) -> None:
        """Writes one record; `JournalError` when it is not on disk."""
        line = _encoder.encode(record) + b"\n"
        with self._lock:
            try:
                if self._segment is None:
                    self._segment = _new_segment(self.folder)
                self._segment.write(line)
            except OSError as error:
                self.unwritten += 1
                if self._segment is not None and self._segment.torn:
                    self._finish()
                raise JournalError(
                    error.errno, f"the journal in {self.folder} cannot be written: {error}"
                ) from error
            full = self._segment.size >= self._max_bytes
            if full:
                self._finish()
        if full:
            self.when_full()

    def seal(self, *, everything: bool = False) -> None:
        """Seals what is old or large enough, or everything."""
        with self._lock:
            segment = self._segment
            if segment is not None and (everything or self._old(segment)):
                self._finish()
        with self._sealing:
            while self._finished:
                self._finished[0].seal()
                self._finished.popleft()

    def _old(self, segment: _Segment) -> bool:
        return time.monotonic() - segment.opened_at >= self._max_age_s

    def _finish(self) -> None:
        if self._segment is not None:
            self._finished.append(self._segment)
        self._segment = None


def seal_abandoned(folder: Path) -> int:
    """Seals the open files whose writers died, and says how many. A torn last line stays torn: the
    reader sets it aside."""
    sealed = 0
    for path in sorted(folder.glob(f"*{OPEN_SUFFIX}")):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):  # sealed meanwhile; alive
            file = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_size == 0:
                    path.unlink()
                else:
                    _seal(path)
                    sealed += 1
            finally:
                os.close(file)
    return sealed


def sealed_segments(folder: Path) -> list[Path]:
    """Those that wait to be shipped, the oldest first."""
    return sorted(
        path for path in folder.glob(f"*{SEALED_SUFFIX}") if not path.name.endswith(OPEN_SUFFIX)
    )


def segment_id_of(path: Path) -> str:
    return path.name.removesuffix(SEALED_SUFFIX)


def _new_segment(folder: Path) -> _Segment:
    while True:
        with contextlib.suppress(BlockingIOError):
            return _Segment(folder)


def _seal(path: Path) -> None:
    path.rename(path.with_name(f"{new_id()}{SEALED_SUFFIX}"))
