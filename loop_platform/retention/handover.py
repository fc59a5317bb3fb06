"""Brings what the local journals hold into the lake, where it can be searched."""

import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from loop_platform.gateway.journal import OPEN_SUFFIX, Journal, sealed_segments
from loop_platform.gateway.shipping import Shipper
from loop_platform.settings import Settings

_EVERY_S = 0.1


class StillWritingError(RuntimeError):
    """The journal holds what could not be shipped in time."""


def hand_over(settings: Settings, database: sa.Engine, timeout_s: float = 60.0) -> None:
    """Returns when everything that was journalled before is in the lake. A gateway that runs seals
    what it is writing within `segment_max_age_s`; what a dead one left is sealed here.

    Raises:
        StillWritingError: it took too long.
    """
    deadline = time.monotonic() + timeout_s
    for name in ("journal", "import"):
        folder = settings.data_dir / name
        if folder.exists():
            _hand_over(folder, settings, database, deadline)


def _hand_over(folder: Path, settings: Settings, database: sa.Engine, deadline: float) -> None:
    limits = settings.gateway
    journal = Journal(folder, limits.segment_max_age_s, limits.segment_max_bytes)
    shipper = Shipper(journal, database, settings.lake)
    being_written = list(folder.glob(f"*{OPEN_SUFFIX}"))
    _until(lambda: not _there(being_written), shipper, deadline, folder)
    sealed = sealed_segments(folder)
    _until(lambda: not _there(sealed), shipper, deadline, folder)


def _there(paths: list[Path]) -> bool:
    return any(path.exists() for path in paths)


def _until(done: Callable[[], bool], shipper: Shipper, deadline: float, folder: Path) -> None:
    shipper.ship()
    while not done():
        if time.monotonic() > deadline:
            raise StillWritingError(
                f"the journal in {folder} is still being written: nothing was erased; try again"
                " when the gateway and the lake are well"
            )
        time.sleep(_EVERY_S)
        shipper.ship()
