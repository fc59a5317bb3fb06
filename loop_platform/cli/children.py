"""Programs that a command starts beside itself, and that end with it, however it ends."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from loop_platform.stack.tether import tethered

_STOP_TIMEOUT_S = 60.0


@contextlib.contextmanager
def child(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs for as long as the block; its output goes to `log`, or with ours."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else None
        process = subprocess.Popen(
            tethered([str(part) for part in command]),
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it in its own way; kill it when that takes too long."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
            process.wait(1.0)  # a second Ctrl-C does not leave it half stopped
    if process.poll() is None:
        process.kill()
        process.wait()
