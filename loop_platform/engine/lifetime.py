"""Ties a process to its parent and turns the first signal into one exception."""

import ctypes
import signal
from types import FrameType

_PR_SET_PDEATHSIG = 1


class InterruptedBySignalError(KeyboardInterrupt):
    """SIGINT or SIGTERM arrived."""


def die_with_parent(by: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `by` when the parent dies, even by SIGKILL (Linux; elsewhere nothing).

    The setting survives exec and is not inherited by children.
    """
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return
    prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0)


def stop_on_signals() -> None:
    """Raise `InterruptedBySignalError` on SIGINT and SIGTERM, so that `finally` blocks run."""

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise InterruptedBySignalError(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
