"""`python -m loop_platform.observer`: counts and exports until it is stopped."""

import signal
import sys
import threading
from types import FrameType

from loop_platform import logs
from loop_platform.database import engine
from loop_platform.observer.observer import Observer
from loop_platform.settings import settings

_LOOK_EVERY_S = 1.0


def main() -> int:
    logs.configure(settings().export)
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    observer = Observer(settings(), engine())
    observer.start()
    while not stopping.wait(_LOOK_EVERY_S):
        if not observer.alive:  # an error that nobody foresaw: the supervisor starts it again
            return 1
    observer.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
