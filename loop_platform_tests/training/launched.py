"""A program to be launched: does what its extras say, under Dagster Pipes."""

import os
import sys
import time
from pathlib import Path

from dagster_pipes import open_dagster_pipes

from loop_platform.engine import lease
from loop_platform.engine.lifetime import InterruptedBySignalError, stop_on_signals


def main() -> int:
    stop_on_signals()
    with open_dagster_pipes() as pipes:
        lease.hold(pipes.extras)
        folder = Path(pipes.extras["folder"])
        (folder / "began").write_text(str(os.getpid()))
        try:
            time.sleep(pipes.extras["seconds"])
        except InterruptedBySignalError as signal:
            (folder / "stopped").write_text(str(signal))
            raise
        if pipes.extras.get("fails"):
            sys.stdout.write("there is no such base model\n")
            return 3
        pipes.log.info("half way")
        record = {"type": "json", "raw_value": {"steps": 3}}
        pipes.report_asset_materialization(data_version="v7", metadata={"record": record})
    return 0


if __name__ == "__main__":
    sys.exit(main())
