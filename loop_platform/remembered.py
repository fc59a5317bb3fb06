"""What was last read from the database, in a file: what the next process starts with where the
database is away.
"""

import logging
import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Remembered(Generic[T]):
    """One value. Several processes may write it: each writes the whole of what it read."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        """`kind`: of the value, anything that msgspec reads."""
        self._path = path
        self._decoder = msgspec.json.Decoder(kind)
        self._written: T | None = None

    def keep(self, value: T) -> None:
        """Writes the value, where it is another than was written last.

        Raises:
            OSError: it cannot be written, and what was there before stays.
        """
        if value == self._written:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(msgspec.json.encode(value))
            opened.flush()
            os.fsync(file)
        draft.rename(self._path)
        self._written = value

    def recall(self) -> T | None:
        """The value; None where there is none, or none that can be read, which is logged."""
        try:
            return self._decoder.decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            logger.warning(
                "%s cannot be read, and the database is waited for: %s", self._path, error
            )
            return None
