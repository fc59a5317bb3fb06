"""How a program of the engine that makes an adapter ends: what it reports, and its exit code."""

import sys
from collections.abc import Callable
from typing import Any

import msgspec

from loop_platform.engine.adapter import AdapterRefusedError
from loop_platform.engine.lessons import TrainingError
from loop_platform.engine.lifetime import InterruptedBySignalError
from loop_platform.engine.material import NothingToLearnError
from loop_platform.engine.room import NoRoomError
from loop_platform.engine.rows import RowRefusedError
from loop_platform.engine.training import Trained

_REFUSALS = (
    RowRefusedError,
    AdapterRefusedError,
    NothingToLearnError,
    TrainingError,
    NoRoomError,
    msgspec.ValidationError,
)


def code_of(work: Callable[[], None]) -> int:
    """Do the work; 2 where it is refused, with the reason on standard error, 130 after a signal."""
    try:
        work()
    except InterruptedBySignalError as signal:
        print(f"stopped by {signal}: nothing was kept", file=sys.stderr)
        return 130
    except _REFUSALS as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    return 0


def report(pipes: Any, trained: Trained) -> None:  # noqa: ANN401 - a `PipesContext`
    """The adapter as the asset's materialisation: its hash as data version, its record as
    metadata."""
    pipes.report_asset_materialization(
        data_version=trained.sha256,
        metadata={
            "adapter": {"type": "text", "raw_value": trained.sha256},
            "adapter_path": {"type": "path", "raw_value": str(trained.adapter)},
            "weights_path": {"type": "path", "raw_value": str(trained.weights)},
            "record": {"type": "json", "raw_value": trained.record},
        },
    )
