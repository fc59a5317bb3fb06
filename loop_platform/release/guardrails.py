"""What ends a trial at once, without waiting for Dagster.

In shadow, errors. In canary, also slowness, refusals, complaints and cost. While a new champion is
watched, all of these but slowness, which is left to its fronts. The controller looks four times a
second, with bounds that hold at every look (loop_platform/statistics). What is *not* decided here
is whether a candidate is good.

The gateway counts errors and slowness itself, once a second. The rest is told by the journal, so a
segment's age later (loop_platform/release/conduct.py), and compared with the champion, within the
margins of the canary's fronts and `gates.max_cost_ratio`.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from loop_platform.database import route_counters
from loop_platform.records import Route
from loop_platform.release.conduct import Comparison, Conduct
from loop_platform.settings import FrontSettings, GateSettings
from loop_platform.statistics.betting import lower
from loop_platform.statistics.fronts import ERROR, Goal, lost
from loop_platform.statistics.groups import Groups
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


def worse(met: Comparison, fronts: FrontSettings, max_cost_ratio: float) -> str | None:
    """The sentence that ends a trial whose callers are declined more often than the champion's,
    object more often, or get answers that cost more, or None."""
    declared = {
        "were objected to": (fronts.of("satisfaction"), _accepted(met)),
        "declined": (fronts.of("safety"), _given(met)),
    }
    goals = {what: Goal(front.aim, front.margin) for what, (front, _) in declared.items()}
    seen = {what: groups for what, (_, groups) in declared.items()}
    for what in sorted(lost(seen, goals)):
        return _more_often(what, seen[what], goals[what])
    return _dearer(met.candidate, met.champion, max_cost_ratio)


def _accepted(met: Comparison) -> Groups:
    mine, theirs = met.candidate, met.champion
    return Groups(mine.accepted, mine.answers, theirs.accepted, theirs.answers)


def _given(met: Comparison) -> Groups:
    mine, theirs = met.candidate, met.champion
    return Groups(
        mine.answers - mine.declined,
        mine.answers,
        theirs.answers - theirs.declined,
        theirs.answers,
    )


def _more_often(what: str, seen: Groups, goal: Goal) -> str:
    bad = seen.mirrored()
    return (
        f"{bad.candidate} of {bad.of_candidate} answers {what}, of the champion's {bad.champion} of"
        f" {bad.of_champion}: more often by {max(-goal.lost_below, bad.lower(ERROR)):.1%} or more"
        f" with 97.5 % confidence, and {-goal.lost_below:.1%} is the limit"
    )


def _dearer(mine: Conduct, theirs: Conduct, limit: float) -> str | None:
    """Tokens of an answer are what it costs; the callers are the same, and so is what they ask."""
    if mine.tokens.lower(ERROR / 2) <= limit * theirs.tokens.upper(ERROR / 2):
        return None
    return (
        f"an answer takes {mine.tokens.mean:.1f} tokens, the champion's {theirs.tokens.mean:.1f}:"
        f" more than {limit:g} times as many with 97.5 % confidence, and that is the limit"
    )
