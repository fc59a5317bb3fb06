"""Looks, all the time, whether there is one champion and the routes name it."""

import threading
from types import TracebackType

import sqlalchemy as sa

from loop_platform.database import releases, routes
from loop_platform.drilling.stack import DrilledStack
from loop_platform.release.states import State

_PAUSE_S = 0.02

_CHAMPIONS = sa.select(
    sa.func.array_agg(releases.c.release).label("champions"),
    sa.select(routes.c.champion).scalar_subquery().label("routed"),
).where(releases.c.state == State.CHAMPION)
"""One statement, so that both are of one moment."""


class Watcher:
    """From the beginning to the end of its block."""

    def __init__(self, stack: DrilledStack) -> None:
        self.looks = 0
        self.faults: list[str] = []
        self._stack = stack
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="drill-watcher", daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            row = self._stack.ask(lambda connection: connection.execute(_CHAMPIONS).one())
            self.looks += 1
            if row.champions != [row.routed]:
                self.faults.append(f"{row.champions} were champions, {row.routed} was routed")
