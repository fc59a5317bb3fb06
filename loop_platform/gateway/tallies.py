"""What only a worker knows, added to the sums for Prometheus once a second: what became of the
shadow's copies and of what was to be redacted, how many records it could not write, and how many
calls met a rate limit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import sqlalchemy as sa

from loop_platform.gateway.allowance import Allowances
from loop_platform.gateway.journal import Journal
from loop_platform.gateway.mirror import Mirror
from loop_platform.gateway.redactors import Redactors
from loop_platform.observer import measures
from loop_platform.observer.sums import Sums
from loop_platform.repeating import Repeating

_INTERVAL_S = 1.0

Tally = tuple[measures.Measure, tuple[tuple[str, str], ...]]
"""A measure and its labels."""


class Tallies:
    """The hot path counts in plain numbers as it did; this reads them from beside."""

    def __init__(
        self,
        database: sa.Engine,
        mirror: Mirror,
        journal: Journal,
        redactors: Redactors,
        allowances: Allowances,
    ) -> None:
        self._database = database
        self._mirror = mirror
        self._journal = journal
        self._redactors = redactors
        self._allowances = allowances
        self._told: Mapping[Tally, int] = {}
        self._turns = Repeating("telling of the tallies", self.tell, _INTERVAL_S)

    @property
    def alive(self) -> bool:
        return self._turns.alive

    def start(self) -> None:
        self._turns.start()

    def stop(self) -> None:
        self._turns.stop()
        self._turns.attempt()

    def tell(self) -> None:
        """Adds what was counted since the last time; while the database is away it adds up."""
        counted = dict(self._counted())
        sums = Sums()
        for (measure, labels), count in counted.items():
            sums.add(measure, count - self._told.get((measure, labels), 0), **dict(labels))
        if sums:
            with self._database.begin() as connection:
                sums.write(connection)
        self._told = counted

    def _counted(self) -> Iterator[tuple[Tally, int]]:
        """Everything, since this worker's start."""
        yield (measures.UNWRITTEN, ()), self._journal.unwritten
        for outcome, count in asdict(self._mirror.counts).items():
            yield (measures.SHADOW, (("outcome", outcome),)), count
        for outcome, count in asdict(self._redactors.counts).items():
            yield (measures.REDACTION, (("outcome", outcome),)), count
        for (subject, unit), count in self._allowances.refused.copy().items():
            yield (measures.LIMITED, (("subject", subject), ("unit", unit))), count
