"""Ends a program that runs on another machine when whoever started it is gone.

The starter adds to a file in the shared data folder; a program that sees nothing new for too long
ends as if it had been told to. It measures by its own clock, for the clocks of two machines differ.
"""

import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXTRA = "lease"


def hold(extras: Mapping[str, Any]) -> None:
    """Live as long as the lease in a program's extras; for ever where there is none."""
    given = extras.get(EXTRA)
    if given is None:
        return
    file, patience_s = Path(given["file"]), float(given["patience_s"])
    threading.Thread(target=_watch, args=(file, patience_s), daemon=True).start()


def _watch(file: Path, patience_s: float) -> None:
    last, since = _size(file), time.monotonic()
    while time.monotonic() - since < patience_s:
        time.sleep(min(1.0, patience_s / 4))
        if (now := _size(file)) != last:
            last, since = now, time.monotonic()
    print(f"nobody renewed {file} for {patience_s:g} s: whoever started this is gone", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


def _size(file: Path) -> int | None:
    """Bytes; None where it is gone, or its file system is away."""
    try:
        return file.stat().st_size
    except OSError:
        return None
