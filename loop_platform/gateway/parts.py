"""What a gateway worker is made of, and the order in which it starts and stops."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from loop_platform.database import database_url
from loop_platform.gateway.allowance import Allowances
from loop_platform.gateway.books import Books
from loop_platform.gateway.counters import Counters
from loop_platform.gateway.dispatch import Dispatch
from loop_platform.gateway.journal import Journal
from loop_platform.gateway.kept import KEPT_ANSWERS, KeptAnswers
from loop_platform.gateway.mirror import Mirror
from loop_platform.gateway.rating_links import LinkSigner
from loop_platform.gateway.redactors import Redactors
from loop_platform.gateway.routing import RouteTable
from loop_platform.gateway.shipping import Shipper
from loop_platform.gateway.tallies import Tallies
from loop_platform.gateway.upstream import Upstream
from loop_platform.identity import CallIdentity, identity_secret
from loop_platform.keys import KeyRing
from loop_platform.settings import Settings

_CONNECTION = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,
    "options": "-c statement_timeout=5000",
    "application_name": "loop-gateway",
}
"""A database that hangs is given up after seconds, and the next turn connects afresh."""


class _Watched(Protocol):
    @property
    def alive(self) -> bool: ...


class _Threaded(_Watched, Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    settings: Settings
    database: sa.Engine
    identity: CallIdentity
    keys: KeyRing
    allowances: Allowances
    routes: RouteTable
    upstream: Upstream
    dispatch: Dispatch
    journal: Journal
    shipper: Shipper
    counters: Counters
    books: Books
    mirror: Mirror
    tallies: Tallies
    kept: KeptAnswers
    links: LinkSigner
    redactors: Redactors

    async def start(self) -> None:
        await self.redactors.start()
        await self.upstream.open()
        self.mirror.start()
        await asyncio.to_thread(self._start_threads)

    async def stop(self) -> None:
        """Everything taken in is in the journal by now; what can be shipped in time is."""
        await self.mirror.stop()
        await self.books.finish()
        await self.redactors.stop()
        await self.upstream.close()
        await asyncio.to_thread(self._stop_threads)

    @property
    def _threads(self) -> tuple[_Threaded, ...]:
        return (
            self.keys,
            self.routes,
            self.counters,
            self.shipper,
            self.tallies,
            self.kept,
            self.allowances,
        )

    def _start_threads(self) -> None:
        for part in self._threads:
            part.start()

    def _stop_threads(self) -> None:
        for part in self._threads:
            part.stop()
        self.database.dispose()

    def dead(self) -> list[str]:
        """The parts that ended of themselves: an error that nobody foresaw."""
        watched: dict[str, _Watched] = {
            "keys": self.keys,
            "routes": self.routes,
            "counters": self.counters,
            "shipper": self.shipper,
            "mirror": self.mirror,
            "tallies": self.tallies,
            "kept answers": self.kept,
            "rate limits": self.allowances,
            "redactors": self.redactors,
        }
        return [name for name, part in watched.items() if not part.alive]


def parts(settings: Settings) -> Parts:
    """Builds a worker's parts; nothing runs yet."""
    gateway = settings.gateway
    database = sa.create_engine(
        database_url(settings), pool_size=5, pool_pre_ping=True, connect_args=_CONNECTION
    )
    journal = Journal(
        settings.data_dir / "journal",
        gateway.segment_max_age_s,
        gateway.segment_max_bytes,
        frozenset(settings.redaction.tenants),
    )
    shipper = Shipper(journal, database, settings.lake)
    journal.when_full = shipper.wake
    counters = Counters(database, settings.gates.latency_budget_ms)
    secret = identity_secret(settings.data_dir / "identity.secret")
    identity = CallIdentity(secret)
    redactors = Redactors(settings.redaction, secret)
    books = Books(journal, counters, redactors, gateway)
    routes = RouteTable(database)
    upstream = Upstream(gateway.upstream_timeout_s, gateway.max_answer_bytes)
    mirror = Mirror(routes, upstream, books, identity)
    allowances = Allowances(database, gateway)
    return Parts(
        settings=settings,
        database=database,
        identity=identity,
        keys=KeyRing(database),
        allowances=allowances,
        routes=routes,
        upstream=upstream,
        dispatch=Dispatch(gateway, routes, upstream, counters),
        journal=journal,
        shipper=shipper,
        counters=counters,
        books=books,
        mirror=mirror,
        tallies=Tallies(database, mirror, journal, redactors, allowances),
        kept=KeptAnswers(
            settings.data_dir / KEPT_ANSWERS,
            gateway.idempotency_ttl_s,
            gateway.idempotency_max_bytes,
        ),
        links=LinkSigner(secret),
        redactors=redactors,
    )
