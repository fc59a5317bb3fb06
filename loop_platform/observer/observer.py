"""Counts and exports what was journalled, in a process of its own.

Nothing of this is on the way of a call: the gateway's workers pay for their journal alone. The sums
are kept in the database, each segment's in the transaction that notes it, so they are right with
any number of workers, gateways and observers, and across crashes of all of them. The other choice,
prometheus_client's multiprocess mode, has every worker write to shared files on every call, loses
the counts with their folder, and ends at the machine.
"""

import logging

import sqlalchemy as sa

from loop_platform.database import segments
from loop_platform.lake import Lake
from loop_platform.observer import conduct
from loop_platform.observer.counting import Counting
from loop_platform.observer.following import Following
from loop_platform.observer.spans import SpanExport
from loop_platform.records import Record
from loop_platform.release.conduct import longest_s
from loop_platform.repeating import Repeating
from loop_platform.settings import Settings

logger = logging.getLogger(__name__)

_INTERVAL_S = 1.0
_FORGET_EVERY_S = 3600.0


class Observer:
    """Threads of their own, so that a collector that is away does not keep the counts waiting."""

    def __init__(self, settings: Settings, database: sa.Engine) -> None:
        lake, export = Lake(settings.lake), settings.export
        self._database = database
        self._counting = Counting(log_calls=export.log_calls)
        self._kept_s = longest_s(settings.gates)
        self.count = Following(database, lake, segments.c.counted, self._take).step
        self._spans = SpanExport(export) if export.otlp_traces is not None else None
        self.export = self._pass_over
        if self._spans is not None:
            self.export = Following(database, lake, segments.c.exported, self._spans.take).step
        self._turns = (
            Repeating("counting of the journal", self.count, _INTERVAL_S),
            Repeating("export of spans", self.export, _INTERVAL_S),
            Repeating("forgetting of old objections", self.forget, _FORGET_EVERY_S),
        )

    @property
    def alive(self) -> bool:
        return all(turn.alive for turn in self._turns)

    def start(self) -> None:
        for turn in self._turns:
            turn.start()

    def stop(self) -> None:
        if self._spans is not None:
            self._spans.stop()
        for turn in self._turns:
            turn.stop()

    def forget(self) -> None:
        """What was said of calls that no trial reaches back to."""
        with self._database.begin() as connection:
            conduct.forget(connection, self._kept_s)

    def _take(self, connection: sa.Connection, records: list[Record]) -> None:
        self._counting.take(connection, records)
        conduct.take(connection, records)

    def _pass_over(self) -> None:
        """Nobody wants spans: those who want them one day get what comes from then on."""
        with self._database.begin() as connection:
            unseen = sa.update(segments).where(~segments.c.exported)
            connection.execute(unseen.values(exported=True))
