"""Counts of calls, errors and slow answers by release, added to the database once a second: the
controller's guardrails look there.
"""

import threading
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import route_counters
from loop_platform.records import Route
from loop_platform.repeating import Repeating

_INTERVAL_S = 1.0

_ADDED = ("calls", "errors", "latency_ms", "over_budget")


@dataclass(slots=True)
class _Count:
    calls: int = 0
    errors: int = 0
    latency_ms: float = 0.0
    over_budget: int = 0

    def add(self, other: "_Count") -> None:
        self.calls += other.calls
        self.errors += other.errors
        self.latency_ms += other.latency_ms
        self.over_budget += other.over_budget


class Counters:
    """What this worker counted and has not yet handed over. While the database is away it keeps
    counting; what comes late is entered in the minute in which it arrives."""

    def __init__(self, database: sa.Engine, latency_budget_ms: float) -> None:
        self._database = database
        self._budget_ms = latency_budget_ms
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Route], _Count] = {}
        self._turns = Repeating("counting of calls", self.flush, _INTERVAL_S)

    @property
    def alive(self) -> bool:
        return self._turns.alive

    def start(self) -> None:
        self._turns.start()

    def stop(self) -> None:
        self._turns.stop()
        self._turns.attempt()

    def count(self, release: str, route: Route, latency_ms: float, *, error: bool) -> None:
        """One call. An error is the release's own: a caller's bad request or hang-up is none."""
        self._add(
            (release, route), _Count(1, int(error), latency_ms, int(latency_ms > self._budget_ms))
        )

    def flush(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            with self._database.begin() as connection:
                connection.execute(_added(counts))
        except sa.exc.SQLAlchemyError:
            for key, count in counts.items():
                self._add(key, count)
            raise

    def _add(self, key: tuple[str, Route], count: _Count) -> None:
        with self._lock:
            self._counts.setdefault(key, _Count()).add(count)


def _added(counts: dict[tuple[str, Route], _Count]) -> sa.Executable:
    minute = sa.func.date_trunc("minute", sa.func.clock_timestamp())
    rows = [
        {"release": release, "route": route, "minute": minute}
        | {name: getattr(count, name) for name in _ADDED}
        # in one order for all workers, so that none waits for another's row in a circle
        for (release, route), count in sorted(counts.items())
    ]
    statement = insert(route_counters).values(rows)
    return statement.on_conflict_do_update(
        index_elements=["release", "route", "minute"],
        set_={name: route_counters.c[name] + statement.excluded[name] for name in _ADDED},
    )
