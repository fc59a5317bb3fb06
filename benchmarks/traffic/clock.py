"""A timer of the kernel's: event loops round their own timers up to a millisecond, which would be
added to every latency that is counted from an intended time.
"""

import ctypes
import os
import time

_MONOTONIC = 1
_NONBLOCK = 0o4000
_ABSOLUTE = 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Spec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Timer:
    """A file that becomes readable at a moment of `time.perf_counter`."""

    def __init__(self) -> None:
        self.file = _libc.timerfd_create(_MONOTONIC, _NONBLOCK)
        if self.file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._shift = time.clock_gettime(time.CLOCK_MONOTONIC) - time.perf_counter()

    def set(self, moment: float) -> None:
        nanoseconds = max(1, int((moment + self._shift) * 1e9))
        spec = _Spec(0, 0, nanoseconds // 1_000_000_000, nanoseconds % 1_000_000_000)
        if _libc.timerfd_settime(self.file, _ABSOLUTE, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def clear(self) -> None:
        os.read(self.file, 8)

    def close(self) -> None:
        os.close(self.file)
