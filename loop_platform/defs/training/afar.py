"""What launchers to other machines share: a folder that both sides see, and a lease in it."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loop_platform.engine.lease import EXTRA
from loop_platform.settings import Settings

_RENEWALS = 8
"""Within the patience."""


@dataclass(frozen=True)
class Lease:
    """A program ends itself when nobody adds to the file for so long: see
    loop_platform/engine/lease.py."""

    file: Path
    patience_s: float

    @property
    def extras(self) -> dict[str, object]:
        """What the program is told of it."""
        return {EXTRA: {"file": str(self.file), "patience_s": self.patience_s}}


@contextmanager
def shared_folder(settings: Settings, name: str) -> Iterator[Path]:
    """A folder of one launch in the data folder, gone at the end."""
    folder = settings.data_dir / "launches" / name
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def renewed(lease: Lease) -> Iterator[None]:
    """Renew it for as long as this process lives."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(lease.patience_s / _RENEWALS):
            with lease.file.open("a") as opened:
                opened.write(".")

    lease.file.touch()
    renewer = threading.Thread(target=renew, daemon=True)
    renewer.start()
    try:
        yield
    finally:
        done.set()
        renewer.join()
