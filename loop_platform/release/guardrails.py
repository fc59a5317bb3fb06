"""What ends a canary or shadow at once, without waiting for its test: errors and slowness.

The gateway's counters are looked at four times a second, with a bound that holds at every look
(loop_platform/statistics/betting.py). What is *not* decided here is whether a candidate is good.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from loop_platform.database import route_counters
from loop_platform.records import Route
from loop_platform.settings import GateSettings
from loop_platform.statistics.betting import lower
from loop_platform.statistics.fronts import ERROR
from loop_platform.statistics.tally import Tally, as_share

# A budget is kept when 95 of 100 calls are within it.
SLOW_SHARE = 0.05
# One failed call is an accident.
_FEWEST = 2


@dataclass(frozen=True)
class Counts:
    """What the gateway counted on one route of a release."""

    calls: int
    errors: int
    over_budget: int

    def as_evidence(self) -> dict[str, int]:
        return {"calls": self.calls, "errors": self.errors, "over_budget": self.over_budget}


def counts(connection: sa.Connection, release: str, route: Route, since: datetime) -> Counts:
    """The counts since the minute of `since`."""
    column = route_counters.c
    row = connection.execute(
        sa.select(
            *(
                sa.func.coalesce(sa.func.sum(column[name]), 0)
                for name in ("calls", "errors", "over_budget")
            )
        ).where(
            column.release == release,
            column.route == route,
            column.minute >= sa.func.date_trunc("minute", since),
        )
    ).one()
    return Counts(*(int(value) for value in row))


def broken(counted: Counts, route: Route, gates: GateSettings) -> str | None:
    """The sentence that ends the trial, or None.

    A guardrail breaks when even the lower end of the interval of the share is beyond it. The
    slowness of a shadow breaks none: nobody waits for it, and its machine does everything twice.
    """
    slow = f"took longer than the budget of {gates.latency_budget_ms:g} ms"
    rails = [(counted.errors, gates.max_error_share, "failed")]
    if route == "canary":
        rails.append((counted.over_budget, SLOW_SHARE, slow))
    for bad, limit, what in rails:
        if bad < _FEWEST:
            continue
        least = as_share(lower(Tally.of_share(bad, counted.calls), ERROR))
        if least > limit:
            return (
                f"{bad} of {counted.calls} calls {what}: {least:.1%} or more with 97.5 %"
                f" confidence, and {limit:.1%} is the limit"
            )
    return None
