"""What only a worker knows, added to the sums for Prometheus once a second: what became of the
shadow's copies, how many records it could not write, and what became of those to be redacted.
"""

from collections.abc import Mapping
from dataclasses import asdict

import sqlalchemy as sa

from loop_platform.gateway.journal import Journal
from loop_platform.gateway.mirror import Mirror
from loop_platform.gateway.redactors import Redactors
from loop_platform.observer import measures
from loop_platform.observer.sums import Sums
from loop_platform.repeating import Repeating

_INTERVAL_S = 1.0
_UNWRITTEN = "unwritten"
_REDACTION = "redaction "


class Tallies:
    """The hot path counts in plain numbers as it did; this reads them from beside."""

    def __init__(
        self, database: sa.Engine, mirror: Mirror, journal: Journal, redactors: Redactors
    ) -> None:
        self._database = database
        self._mirror = mirror
        self._journal = journal
        self._redactors = redactors
        self._told: Mapping[str, int] = {}
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
        redaction = {
            f"{_REDACTION}{name}": count for name, count in asdict(self._redactors.counts).items()
        }
        counted = asdict(self._mirror.counts) | {_UNWRITTEN: self._journal.unwritten} | redaction
        sums = Sums()
        for name, count in counted.items():
            more = count - self._told.get(name, 0)
            if name == _UNWRITTEN:
                sums.add(measures.UNWRITTEN, more)
            elif name in redaction:
                sums.add(measures.REDACTION, more, outcome=name.removeprefix(_REDACTION))
            else:
                sums.add(measures.SHADOW, more, outcome=name)
        if sums:
            with self._database.begin() as connection:
                sums.write(connection)
        self._told = counted
