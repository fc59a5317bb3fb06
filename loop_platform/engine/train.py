"""The training program, started by Dagster Pipes with a `Job` as its extras.

    python -m loop_platform.engine.train               # under Pipes
    python -m loop_platform.engine.train --job job.json  # by hand

Progress goes to Pipes (or standard output); so do the adapter's hash, as data version, and the
record, as metadata. It ends with its parent, and a signal leaves nothing half-written behind.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import msgspec

from loop_platform.engine.adapter import AdapterRefusedError
from loop_platform.engine.job import decode
from loop_platform.engine.lessons import TrainingError
from loop_platform.engine.lifetime import InterruptedBySignalError, die_with_parent, stop_on_signals
from loop_platform.engine.material import NothingToLearnError
from loop_platform.engine.room import NoRoomError
from loop_platform.engine.rows import RowRefusedError
from loop_platform.engine.training import train

_REFUSALS = (
    RowRefusedError,
    AdapterRefusedError,
    NothingToLearnError,
    TrainingError,
    NoRoomError,
    msgspec.ValidationError,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=Path, help="a Job as JSON, in place of Dagster Pipes")
    options = parser.parse_args()
    die_with_parent()
    stop_on_signals()
    # A thread that sleeps at every barrier trains at 60 % of the speed, one that never sleeps takes
    # the core from those that serve: this is about a millisecond.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    try:
        return _by_hand(options.job) if options.job is not None else _under_pipes()
    except InterruptedBySignalError as signal:
        print(f"stopped by {signal}: nothing was kept", file=sys.stderr)
        return 130
    except _REFUSALS as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2


def _by_hand(file: Path) -> int:
    def say(line: str) -> None:
        print(line, flush=True)

    trained = train(decode(json.loads(file.read_text())), say)
    print(json.dumps({"adapter": str(trained.adapter), "weights": str(trained.weights)}))
    return 0


def _under_pipes() -> int:
    from dagster_pipes import PipesContext, open_dagster_pipes

    with open_dagster_pipes() as pipes:
        context: PipesContext = pipes
        trained = train(decode(context.extras["job"]), context.log.info)
        context.report_asset_materialization(
            data_version=trained.sha256,
            metadata={
                "adapter": {"type": "text", "raw_value": trained.sha256},
                "adapter_path": {"type": "path", "raw_value": str(trained.adapter)},
                "weights_path": {"type": "path", "raw_value": str(trained.weights)},
                "record": {"type": "json", "raw_value": trained.record},
            },
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
