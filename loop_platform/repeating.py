"""A step that a daemon thread repeats, and that outlives outages of what it talks to."""

import logging
import threading
from collections.abc import Callable

import psycopg2
from sqlalchemy.exc import SQLAlchemyError

logger = logging.getLogger(__name__)

OUTAGES = (SQLAlchemyError, psycopg2.Error, OSError)
"""What a database or a store that is away raises: tried again at the next turn. The driver's own
error escapes SQLAlchemy where a connection dies on its way back to the pool."""


class Repeating:
    """Calls `step` every `interval_s` seconds, sooner when woken, until stopped."""

    def __init__(self, name: str, step: Callable[[], None], interval_s: float) -> None:
        self.name = name
        self._step = step
        self._interval_s = interval_s
        self._stopping = False
        self._away = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """False before `start`, after `stop`, and when the step raised what is no outage."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ends the thread after its present turn."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def attempt(self) -> bool:
        """One turn, in the calling thread; False when it met an outage, which is logged once."""
        try:
            self._step()
        except OUTAGES as error:
            if not self._away:
                logger.warning("%s: interrupted, and trying on: %s", self.name, error)
            self._away = True
            return False
        if self._away:
            logger.warning("%s: goes on", self.name)
        self._away = False
        return True

    def _run(self) -> None:
        while not self._stopping:
            self.attempt()
            self._woken.wait(self._interval_s)
            self._woken.clear()
