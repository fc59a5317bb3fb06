"""Waiting for what another process does, and whether it still does anything."""

import time
from collections.abc import Callable

import psutil


def wait_for(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def lives(process: psutil.Process) -> bool:
    """A zombie does not: it ended, and its adopter has not looked yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
