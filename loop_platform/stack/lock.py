"""One stack a data folder: a lock that ends with the last process which holds it.

supervisord inherits it, so that a stack that was killed and is still ending counts as running.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from loop_platform.stack.errors import StackError


@contextmanager
def locked(data_dir: Path, patience_s: float = 20.0) -> Iterator[int]:
    """Hold the folder's lock; yields its file descriptor.

    Raises:
        StackError: another stack holds it.
    """
    file = os.open(data_dir / "loop.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(file, data_dir, patience_s)
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield file
    finally:
        os.close(file)


def _take(file: int, data_dir: Path, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not _try(file):
        holder = int(os.pread(file, 20, 0) or 0)
        if psutil.pid_exists(holder):
            raise StackError(
                f"`loop up` already runs on {data_dir} (process {holder}): stop it, or set"
                " LOOP_DATA_DIR to another folder (and other ports) for a second stack"
            )
        if time.monotonic() > deadline:
            raise StackError(
                f"an earlier stack on {data_dir} has not ended within {patience_s:g} s: see"
                f" {data_dir / 'logs' / 'supervisord.log'}"
            )
        time.sleep(0.2)


def _try(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
