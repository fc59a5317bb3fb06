"""Answers that are kept for a second request under the same `Idempotency-Key`: a file each.

Whoever holds the lock of a key's file may answer; what is in the file is the answer. The lock goes
with its holder, as an open segment's does (journal.py), so that a worker that is killed leaves the
key to the next who asks. All workers on one data folder agree, across restarts and with the
database away; machines that do not share the folder know nothing of each other's keys.

A file is a mark with a checksum, the request's fingerprint, the answer's head as a line of JSON,
and its body. The mark is turned last: an answer counts when it is whole. Nothing is forced to the
disk; what a power cut spoils, the checksum tells.

Answers of a tenant that wants no personal data recorded can be read with the caller's own API key
alone, which the platform does not have: what is replayed has to be what was said.
"""

import contextlib
import fcntl
import os
import secrets
import time
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from loop_platform.repeating import Repeating

_INTERVAL_S = 2.0
_SHARDS = 64
_AT_A_TIME = 2**18
_BLOCK = 512
"""Bytes in a block of `st_blocks`, whatever the file system's own are."""

_STARTED = b"."
_WHOLE = b"="
_MARK = 9
"""Bytes of the mark: its sign, and the CRC-32 of all that follows, hexadecimal."""
_FINGERPRINT = 64
_NONCE = 16
_CONTENT = _MARK + _FINGERPRINT + 1
"""Where head and body begin."""


class Head(msgspec.Struct, frozen=True):
    """The head of an answer, as it went out."""

    status: int
    headers: list[tuple[str, str]]


_head = msgspec.json.Decoder(Head)


class KeptAnswer:
    """The file of one key, open. Close it: whatever is not whole by then goes."""

    def __init__(self, path: Path, secret: bytes | None = None) -> None:
        self._path = path
        self._secret = secret
        self._cipher: CipherContext | None = None
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._checksum = 0
        self.mine = False
        """This one is to be answered, by who opened it."""

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

    def whole(self) -> bool:
        """Whether there is an answer, to its last byte. Reads all of it."""
        mark = os.pread(self._file, _MARK, 0)
        if not mark.startswith(_WHOLE):
            return False
        os.lseek(self._file, _MARK, os.SEEK_SET)
        checksum = 0
        while data := os.read(self._file, _AT_A_TIME):
            checksum = zlib.crc32(data, checksum)
        return mark == _mark(_WHOLE, checksum)

    @property
    def blank(self) -> bool:
        """Nobody began to answer."""
        return os.fstat(self._file).st_size == 0

    @property
    def age_s(self) -> float:
        return time.time() - os.fstat(self._file).st_mtime

    def fingerprint(self) -> str | None:
        """Of the request that is, or was, answered; None before it is written."""
        written = os.pread(self._file, _FINGERPRINT, _MARK)
        return written.decode(errors="replace") if len(written) == _FINGERPRINT else None

    def begin(self, fingerprint: str) -> None:
        """The holder starts to answer."""
        self.mine = True
        self._write(_mark(_STARTED, 0))
        self.write(fingerprint.encode() + b"\n")
        if self._secret is not None:
            nonce = secrets.token_bytes(_NONCE)
            self.write(nonce)
            self._cipher = Cipher(AES256(self._secret), CTR(nonce)).encryptor()

    def write_head(self, head: Head) -> None:
        self.write(msgspec.json.encode(head) + b"\n")

    def write(self, data: bytes) -> None:
        if self._cipher is not None:
            data = self._cipher.update(data)
        self._checksum = zlib.crc32(data, self._checksum)
        self._write(data)

    def keep(self) -> None:
        """The answer is whole."""
        os.pwrite(self._file, _mark(_WHOLE, self._checksum), 0)
        self.mine = False

    def remove(self) -> None:
        """Takes the key's file away; only its holder may."""
        self.mine = False
        self._path.unlink(missing_ok=True)

    def read(self) -> tuple[Head, Iterator[bytes]]:
        """A whole answer: its head, and its body in pieces."""
        os.lseek(self._file, _CONTENT, os.SEEK_SET)
        plain: CipherContext | None = None
        if self._secret is not None:
            nonce = os.read(self._file, _NONCE)
            plain = Cipher(AES256(self._secret), CTR(nonce)).decryptor()
        pieces = self._pieces(plain)
        start = b""
        while b"\n" not in start and (data := next(pieces, b"")):
            start += data
        line, _, body = start.partition(b"\n")
        return _head.decode(line), chain((body,), pieces)

    def close(self) -> None:
        if self.mine:
            self.remove()
        os.close(self._file)

    def _pieces(self, plain: CipherContext | None) -> Iterator[bytes]:
        while data := os.read(self._file, _AT_A_TIME):
            yield data if plain is None else plain.update(data)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


KEPT_ANSWERS = "idempotency"
"""The folder, in the data folder."""


class KeptAnswers:
    """The folder of them, which this worker sweeps, a part at a turn. Short texts can be remembered
    there as well."""

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

    def open(self, name: str, secret: bytes | None = None) -> KeptAnswer:
        """The file of the key that hashes to `name`, hexadecimal; an empty one where none is. With
        a `secret` of 32 bytes, the answer is enciphered by it."""
        folder = self._shard(int(name[:4], 16) % _SHARDS)
        try:
            return KeptAnswer(folder / name, secret)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return KeptAnswer(folder / name, secret)

    def remember(self, name: str, text: str) -> str:
        """What was remembered first under `name`, a digest as `open` takes it: `text`, unless
        another was before. It goes as answers go."""
        folder = self._shard(int(name[:4], 16) % _SHARDS)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = folder / f"{name}.{secrets.token_hex(4)}"
        try:
            draft.write_text(text)
            os.link(draft, folder / name)
        except FileExistsError:
            return self.recall(name) or text
        finally:
            draft.unlink(missing_ok=True)
        return text

    def recall(self, name: str) -> str | None:
        """What is remembered under `name`."""
        try:
            return (self._shard(int(name[:4], 16) % _SHARDS) / name).read_text()
        except FileNotFoundError:
            return None

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

    def forget(self) -> int:
        """Removes every answer that nobody holds, of whatever age; returns how many."""
        shards = [folder for folder in self._folder.glob("*") if folder.is_dir()]
        found = [path for folder in shards for _, _, path in _files(folder)]
        return sum(_removed(path) for path in found)

    def _shard(self, number: int) -> Path:
        return self._folder / f"{number:02d}"


def _mark(sign: bytes, checksum: int) -> bytes:
    return b"%s%08x" % (sign, checksum)


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
