"""Answers that are kept for a second request under the same `Idempotency-Key`: a file each.

Whoever holds the lock of a key's file may answer; what is in the file is the answer. The lock goes
with its holder, as an open segment's does (journal.py), so that a worker that is killed leaves the
key to the next who asks. All workers on one data folder agree, across restarts and with the
database away; machines that do not share the folder know nothing of each other's keys.

A file is a mark, the request's fingerprint, the answer's head as a line of JSON, and its body. The
mark is turned last: an answer counts when it is whole.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loop_platform.repeating import Repeating

_INTERVAL_S = 2.0
_SHARDS = 64
_AT_A_TIME = 2**18
_BLOCK = 512
"""Bytes in a block of `st_blocks`, whatever the file system's own are."""

_STARTED = b"."
_WHOLE = b"="
_FINGERPRINT = 64


class Head(msgspec.Struct, frozen=True):
    """The head of an answer, as it went out."""

    status: int
    headers: list[tuple[str, str]]


_head = msgspec.json.Decoder(Head)


class KeptAnswer:
    """The file of one key, open. Close it: whatever is not whole by then goes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._mine = False

    def hold(self) -> bool:
        """Takes the lock; False where another has it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def let_go(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    @property
    def gone(self) -> bool:
        """Whether the file was removed since it was opened. Look while holding it."""
        return os.fstat(self._file).st_nlink == 0

    @property
    def whole(self) -> bool:
        return os.pread(self._file, 1, 0) == _WHOLE

    @property
    def blank(self) -> bool:
        """Nobody began to answer."""
        return os.fstat(self._file).st_size == 0

    @property
    def age_s(self) -> float:
        return time.time() - os.fstat(self._file).st_mtime

    def fingerprint(self) -> str | None:
        """Of the request that is, or was, answered; None before it is written."""
        written = os.pread(self._file, _FINGERPRINT, 1)
        return written.decode() if len(written) == _FINGERPRINT else None

    def begin(self, fingerprint: str) -> None:
        """The holder starts to answer."""
        self._mine = True
        self._write(_STARTED + fingerprint.encode() + b"\n")

    def write_head(self, head: Head) -> None:
        self._write(msgspec.json.encode(head) + b"\n")

    def write(self, body: bytes) -> None:
        self._write(body)

    def keep(self) -> None:
        """The answer is whole."""
        os.pwrite(self._file, _WHOLE, 0)
        self._mine = False

    def remove(self) -> None:
        """Takes the key's file away; only its holder may."""
        self._mine = False
        self._path.unlink(missing_ok=True)

    def read(self) -> tuple[Head, Iterator[bytes]]:
        """A whole answer: its head, and its body in pieces."""
        os.lseek(self._file, 1 + _FINGERPRINT + 1, os.SEEK_SET)
        start = b""
        while b"\n" not in start and (data := os.read(self._file, _AT_A_TIME)):
            start += data
        line, _, body = start.partition(b"\n")
        return _head.decode(line), self._rest(body)

    def close(self) -> None:
        if self._mine:
            self.remove()
        os.close(self._file)

    def _rest(self, body: bytes) -> Iterator[bytes]:
        while body:
            yield body
            body = os.read(self._file, _AT_A_TIME)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


class KeptAnswers:
    """The folder of them, which this worker sweeps, a part at a turn."""

    def __init__(self, folder: Path, ttl_s: float, max_bytes: int) -> None:
        self.ttl_s = ttl_s
        self._folder = folder
        self._share = max_bytes // _SHARDS
        self._next = 0
        self._turns = Repeating("sweeping of kept answers", self.sweep, _INTERVAL_S)

    @property
    def alive(self) -> bool:
        return self._turns.alive

    def start(self) -> None:
        self._turns.start()

    def stop(self) -> None:
        self._turns.stop()

    def open(self, name: str) -> KeptAnswer:
        """The file of the key that hashes to `name`, hexadecimal; an empty one where none is."""
        folder = self._shard(int(name[:4], 16) % _SHARDS)
        try:
            return KeptAnswer(folder / name)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return KeptAnswer(folder / name)

    def sweep(self) -> None:
        """Removes from the next part what is too old, and the oldest of what is too much."""
        folder = self._shard(self._next)
        self._next = (self._next + 1) % _SHARDS
        if not folder.is_dir():
            return
        found = sorted(_files(folder))
        too_much = sum(size for _, size, _ in found) - self._share
        for written_at, size, path in found:
            if too_much <= 0 and time.time() - written_at < self.ttl_s:
                break
            if _removed(path):
                too_much -= size

    def _shard(self, number: int) -> Path:
        return self._folder / f"{number:02d}"


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each was last written, the disk it takes, and where it is."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # another worker sweeps too
                stat = entry.stat()
                yield stat.st_mtime, stat.st_blocks * _BLOCK, Path(entry.path)


def _removed(path: Path) -> bool:
    """Removes a file that nobody holds."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_nlink > 0:  # otherwise the name may be another file's by now
            path.unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
