"""A journal file while it is written: by one process, which holds its lock as long as it lives."""

import fcntl
import os
import time
from pathlib import Path

from loop_platform.gateway.contents import Contents
from loop_platform.identity import new_id

OPEN_SUFFIX = ".open.jsonl"
SEALED_SUFFIX = ".jsonl"


class Segment:
    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{new_id()}{OPEN_SUFFIX}"
        self.opened_at = time.monotonic()
        self.contents = Contents()
        self.torn = False
        """A part of a record is at the end, and could not be taken back."""
        self.sealed = False
        self.listed = False
        """That the file is there outlives a power cut: its folder was forced to the disk."""
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._file).st_nlink == 0:
                raise BlockingIOError(f"{self.path} is gone")
        except BlockingIOError:  # another worker's recovery was quicker: it removes the file
            os.close(self._file)
            raise

    @property
    def size(self) -> int:
        """Bytes of whole lines."""
        return self.contents.bytes

    def write(self, lines: bytes, number: int = 1, identifier: str | None = None) -> None:
        """Appends so many whole lines, or nothing; `identifier` is that of the record whose
        hour counts."""
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._file, lines[written:] if written else lines)
        except OSError:
            self.torn = True
            os.ftruncate(self._file, self.size)
            self.torn = False
            raise
        self.contents.add(lines, number, identifier)

    def sync(self) -> None:
        """Forces what was written to the disk, so that it outlives a power cut."""
        os.fdatasync(self._file)
        if not self.listed:
            sync_folder(self.path.parent)
            self.listed = True

    def seal(self) -> None:
        """Forces the file to the disk and gives it its final name; an empty one goes."""
        if self.size == 0 and not self.torn:
            self.path.unlink()
        else:
            os.fsync(self._file)
            self.path = give_final_name(self.path)
        os.close(self._file)
        self.sealed = True

    def discard(self) -> None:
        """Takes back a file in which there is nothing yet."""
        self.path.unlink()
        os.close(self._file)
        self.sealed = True


def give_final_name(path: Path) -> Path:
    return path.rename(path.with_name(f"{new_id()}{SEALED_SUFFIX}"))


def sync_folder(folder: Path) -> None:
    """Forces a folder's names to the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
