"""Where a call goes: champion, canary or, beside the champion, shadow.

One row of the database says so. A thread reads it four times a second; canary and shadow hold only
while their lease, measured on this process's own clock, has time left. A dead controller, database
or reader can therefore only send traffic back to the champion. A worker that starts while the
database is away begins with the champion that is remembered.
"""

import hashlib
import math
import time
from dataclasses import dataclass

import sqlalchemy as sa

from loop_platform.database import routes
from loop_platform.records import Route
from loop_platform.remembered import Remembered
from loop_platform.repeating import Repeating

_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class Target:
    """A release, and the engine that serves it."""

    release: str
    url: str
    model: str
    """The name that the engine serves it under."""
    route: Route


@dataclass(frozen=True, slots=True)
class Trial:
    """A release on a lease, for a share of the traffic."""

    target: Target
    share: float
    ends: float
    """Of the lease, by `time.monotonic()`."""

    def takes(self, sticky: str) -> bool:
        """Whether the traffic that `sticky` names falls into the share, now."""
        return time.monotonic() < self.ends and _point(self.target.release, sticky) < self.share


@dataclass(frozen=True, slots=True)
class Routes:
    champion: Target | None = None
    canary: Trial | None = None
    shadow: Trial | None = None

    def choose(self, sticky: str) -> Target | None:
        """The release that answers: the canary for its share of users, the champion otherwise."""
        if self.champion is not None and self.canary is not None and self.canary.takes(sticky):
            return self.canary.target
        return self.champion

    def named(self, release: str) -> Target | None:
        """The release that a caller names instead of leaving it to the routes, where it serves."""
        if self.champion is not None and self.champion.release == release:
            return self.champion
        if self.canary is not None and self.canary.target.release == release:
            return self.canary.target if time.monotonic() < self.canary.ends else None
        return None

    def serving(self) -> list[Target]:
        """The releases that callers may name."""
        canary = self.canary.target if self.canary is not None else None
        targets = (self.champion, canary and self.named(canary.release))
        return [target for target in targets if target is not None]

    def mirror(self, sticky: str) -> Target | None:
        """The release that gets a copy of what the champion answered, if any does."""
        if self.shadow is not None and self.shadow.takes(sticky):
            return self.shadow.target
        return None


class RouteTable:
    """The routes, as last read."""

    def __init__(self, database: sa.Engine, champion: Remembered[Target]) -> None:
        """`champion`: where it is remembered."""
        self._database = database.execution_options(isolation_level="AUTOCOMMIT")
        self._champion = champion
        self._reading = Repeating("reading of the routes", self.refresh, _INTERVAL_S)
        self.current = Routes()

    @property
    def alive(self) -> bool:
        return self._reading.alive

    def start(self) -> None:
        if not self._reading.attempt() and self.current.champion is None:
            self.current = Routes(self._champion.recall())
        self._reading.start()

    def stop(self) -> None:
        self._reading.stop()

    def refresh(self) -> None:
        # The clock is read before the database reads its own: the lease can only seem shorter.
        now = time.monotonic()
        with self._database.connect() as connection:
            row = connection.execute(_QUERY).mappings().one_or_none()
        self.current = Routes() if row is None else _routes(row, now)
        if self.current.champion is not None:
            self._champion.keep(self.current.champion)


_QUERY = sa.select(
    routes,
    sa.func.extract("epoch", routes.c.lease_until - sa.func.clock_timestamp()).label("lease_s"),
)


def _routes(row: sa.RowMapping, now: float) -> Routes:
    ends = now + float(row["lease_s"] if row["lease_s"] is not None else -math.inf)
    return Routes(
        champion=_target(row, "champion"),
        canary=_trial(row, "canary", ends),
        shadow=_trial(row, "shadow", ends),
    )


def _target(row: sa.RowMapping, route: Route) -> Target | None:
    release, url, model = row[route], row[f"{route}_url"], row[f"{route}_model"]
    if release is None or url is None:
        return None
    return Target(release, url, model or release, route)


def _trial(row: sa.RowMapping, route: Route, ends: float) -> Trial | None:
    target = _target(row, route)
    return None if target is None else Trial(target, float(row[f"{route}_share"] or 0.0), ends)


def _point(release: str, sticky: str) -> float:
    """A number in [0, 1) that is always the same for the same two."""
    digest = hashlib.blake2b(f"{release}\0{sticky}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
