"""What callers got of a release on trial, and of the champion that it is compared with: answers,
what of them declined, what people objected to, and what they took in tokens.

The observer reads it off the journal (loop_platform/observer/conduct.py). Dagster is not asked.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from loop_platform.database import canary_answers, conduct, objections
from loop_platform.identity import first_id
from loop_platform.records import Route
from loop_platform.release.trials import Trial
from loop_platform.settings import GateSettings
from loop_platform.statistics.means import Moments


@dataclass(frozen=True)
class Conduct:
    """Of one side. An objection can come before its answer is counted."""

    answers: int
    declined: int
    objected: int
    tokens: Moments

    @property
    def accepted(self) -> int:
        """Answers that nobody objected to."""
        return max(self.answers - self.objected, 0)


@dataclass(frozen=True)
class Comparison:
    candidate: Conduct
    champion: Conduct

    def as_evidence(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Period:
    """Until when: None is now."""

    since: datetime
    until: datetime | None = None

    def minutes(self) -> sa.ColumnElement[bool]:
        """Whole minutes: one that it shares with another period has other releases there."""
        begins = conduct.c.minute >= sa.func.date_trunc("minute", self.since)
        if self.until is None:
            return begins
        return begins & (conduct.c.minute <= sa.func.date_trunc("minute", self.until))

    def calls(self, column: "sa.Column[str]") -> sa.ColumnElement[bool]:
        begins = column >= _first(self.since)
        return begins if self.until is None else begins & (column < _first(self.until))


def in_canary(connection: sa.Connection, trial: Trial) -> Comparison:
    """A canary's calls, and the champion's since it began."""
    period = _Period(trial.started_at)
    met = sa.select(canary_answers.c.call_id).where(canary_answers.c.release == trial.release)
    objected = _objected(connection, period, objections.c.call_id.in_(met))
    return Comparison(
        _conduct(connection, trial.release, "canary", period, objected),
        _of_champion(connection, trial.champion, period),
    )


def in_watch(connection: sa.Connection, trial: Trial, watch_s: float) -> Comparison:
    """A new champion's calls, and those of the one before it, of the `watch_s` seconds before."""
    before = _Period(trial.started_at - timedelta(seconds=watch_s), trial.started_at)
    return Comparison(
        _of_champion(connection, trial.release, _Period(trial.started_at)),
        _of_champion(connection, trial.champion, before),
    )


def longest_s(gates: GateSettings) -> float:
    """So far back a comparison can reach."""
    return max(gates.stage_timeout_s, 2 * gates.watch_s) + 3600


def _of_champion(connection: sa.Connection, release: str, period: _Period) -> Conduct:
    """What was objected to and is no canary's is the champion's."""
    others = sa.select(canary_answers.c.call_id)
    objected = _objected(connection, period, objections.c.call_id.not_in(others))
    return _conduct(connection, release, "champion", period, objected)


def _objected(connection: sa.Connection, period: _Period, whose: sa.ColumnElement[bool]) -> int:
    column = objections.c.call_id
    query = sa.select(sa.func.count()).where(period.calls(column), whose)
    return int(connection.execute(query.select_from(objections)).scalar_one())


def _conduct(
    connection: sa.Connection, release: str, route: Route, period: _Period, objected: int
) -> Conduct:
    columns = ("answers", "declined", "metered", "tokens", "tokens_squared")
    query = sa.select(
        *(sa.func.coalesce(sa.func.sum(conduct.c[name]), 0) for name in columns)
    ).where(conduct.c.release == release, conduct.c.route == route, period.minutes())
    answers, declined, metered, tokens, squared = connection.execute(query).one()
    moments = Moments(int(metered), float(tokens), float(squared))
    return Conduct(int(answers), int(declined), objected, moments)


def _first(moment: datetime) -> str:
    """The first call id of a moment."""
    return first_id(int(1000 * moment.timestamp()))
