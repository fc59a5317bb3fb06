"""The stack that is drilled: what it is asked, and what is waited for."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import sqlalchemy as sa

from loop_platform.database import database_url
from loop_platform.release import registry, routes, slots
from loop_platform.release.states import IN_TRIAL
from loop_platform.settings import Settings
from loop_platform.stack.errors import StackError

T = TypeVar("T")

_BEYOND_A_START_S = 20.0
_PAUSE_S = 0.1


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator["DrilledStack"]:
    """The stack of these settings."""
    database = sa.create_engine(
        database_url(settings), pool_pre_ping=True, connect_args={"connect_timeout": 5}
    )
    try:
        yield DrilledStack(settings, database)
    finally:
        database.dispose()


class DrilledStack:
    """Its database may be away for a while, and its engines may be."""

    def __init__(self, settings: Settings, database: sa.Engine) -> None:
        self.settings = settings
        self._database = database
        self._patience_s = settings.engine.start_timeout_s + _BEYOND_A_START_S

    def once(self, question: Callable[[sa.Connection], T]) -> T:
        """Ask the database, which has to be there."""
        with self._database.begin() as connection:
            return question(connection)

    def ask(self, question: Callable[[sa.Connection], T]) -> T:
        """Ask the database; where it is away, again until it is back."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return self.once(question)
            except sa.exc.OperationalError as error:
                if time.monotonic() > deadline:
                    raise StackError(f"the database does not come back: {error.orig}") from error
                time.sleep(_PAUSE_S)

    def until(
        self,
        holds: Callable[[sa.Connection], object],
        what: str,
        patience_s: float | None = None,
    ) -> float:
        """Wait until something holds; how many seconds it took.

        Raises:
            StackError: it does not, within `patience_s`; by default what a start of an engine may
                take, and a little.
        """
        started = time.monotonic()
        patience = self._patience_s if patience_s is None else patience_s
        while not self.ask(holds):
            if time.monotonic() > started + patience:
                raise StackError(f"not within {patience:g} s: {what}")
            time.sleep(_PAUSE_S)
        return time.monotonic() - started

    def clock_ahead_s(self) -> float:
        """How far the database's clock is ahead of this machine's."""
        now = sa.select(sa.extract("epoch", sa.func.clock_timestamp()))
        return float(self.ask(lambda connection: connection.scalar(now)) or 0.0) - time.time()


def free_champion(connection: sa.Connection) -> str:
    """The champion, where nothing else is going on.

    Raises:
        StackError: a drill would be in somebody's way.
    """
    if routes.paused(connection):
        raise StackError("the loop is paused, and no trial begins: `loop resume` first")
    if busy := registry.in_states(connection, IN_TRIAL):
        raise StackError(
            f"release {busy[0].release} is {busy[0].state}: a drill would take its engine;"
            " run it when nothing is on trial"
        )
    champion = registry.champion(connection)
    if champion is None or not is_ready(connection, champion.release):
        raise StackError("no champion is on its engine: is `loop up` running?")
    return champion.release


def is_ready(connection: sa.Connection, release: str) -> bool:
    """Whether the engine that should serve a release does."""
    slot = slots.serving(connection, release)
    return slot is not None and slot.ready
