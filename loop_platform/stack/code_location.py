"""Becomes the Dagster code location, once the runs that an earlier one left behind are failed.

    python -m loop_platform.stack.code_location <module> <socket>

One code server serves the webserver and the daemon; it launches runs as processes of its own.
"""

import os
import subprocess
import sys


def main() -> None:
    module, socket = sys.argv[1:]
    python = [sys.executable, "-m"]
    subprocess.run([*python, "loop_platform.stack.abandoned_runs"], check=True)
    code = ["dagster", "api", "grpc", "-m", module, "--use-python-environment-entry-point"]
    place = ["--location-name", module.partition(".")[0], "--socket", socket]
    os.execv(sys.executable, [*python, *code, *place])


if __name__ == "__main__":
    main()
