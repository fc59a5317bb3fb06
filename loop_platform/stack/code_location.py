"""Runs the Dagster code location, and lets nothing that it started outlive it.

    python -m loop_platform.stack.code_location <module> <socket>

The code server launches runs as processes of its own, and runs launch training: when the server
ends, however it ends, they are adopted and killed, and at the next start their runs are failed.
"""

import ctypes
import signal
import subprocess
import sys

import psutil

from loop_platform.stack.tether import tethered

_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    python = [sys.executable, "-m"]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    subprocess.run([*python, "loop_platform.stack.abandoned_runs"], check=True)
    module, socket = sys.argv[1:]
    code = ["dagster", "api", "grpc", "-m", module]
    place = ["--location-name", module.partition(".")[0], "--socket", socket]
    server = subprocess.Popen(
        tethered([*python, *code, *place, "--use-python-environment-entry-point"])
    )
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda number, _: server.send_signal(number))
    status = server.wait()
    for orphan in psutil.Process().children(recursive=True):
        orphan.kill()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
