"""The plan of a trial, fixed before its first pair or call, what is known so far, and the verdict.

Which fronts have to be won or held and within which margins, after how many pairs or calls the
first verdict may fall and how many there are at most: all of it is written down when the stage
begins and read when it is judged. In between anybody may look as often as they like: the tests hold
under peeking (loop_platform/statistics/fronts.py). What nobody can do is move the goal.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from loop_platform.database import trials
from loop_platform.release.registry import Evidence
from loop_platform.release.states import State
from loop_platform.settings import FrontSettings

Verdict = Literal["passed", "failed", "not known"]

MORE = 1.25
"""Each look waits for so many times what the one before it saw."""


@dataclass(frozen=True)
class Trial:
    """One release's time in `shadow` or `canary`, or its first as `champion`."""

    release: str
    stage: State
    champion: str
    """What it is compared with."""
    planned: int
    """Pairs or calls before the first verdict."""
    budget: int
    """Pairs or calls at most."""
    fronts: FrontSettings
    started_at: datetime
    ended_at: datetime | None
    verdict: Verdict | None
    evidence: Evidence | None
    """Of the last look."""

    @property
    def looked_at(self) -> int:
        """Pairs or calls that the last look saw; 0 before the first."""
        return int((self.evidence or {}).get("looked_at", 0))

    @property
    def next_look(self) -> int:
        """Pairs or calls that the next look waits for."""
        return max(self.planned, after(self.looked_at, self.budget))

    @property
    def next_verdicts(self) -> int:
        """Pairs judged by people that the next look waits for, if no further pairs come first: a
        quarter more, or all that wait for them."""
        people = (self.evidence or {}).get("people", {})
        said, waiting = int(people.get("said", 0)), int(people.get("waiting", 0))
        return max(said + 1, after(said, said + waiting))


def after(seen: int, budget: int) -> int:
    """When to look again, having looked at `seen`: at a quarter more, or when the budget is spent.

    Looks cost time and no certainty; so rare ones cost at most a quarter more pairs.
    """
    return min(budget, max(seen + 1, math.ceil(MORE * seen)))


def begin(
    connection: sa.Connection,
    release: str,
    stage: State,
    *,
    champion: str,
    planned: int,
    budget: int,
    fronts: FrontSettings,
) -> None:
    """Write the plan down."""
    connection.execute(
        sa.insert(trials).values(
            release=release,
            stage=stage,
            champion=champion,
            planned=planned,
            budget=budget,
            fronts=fronts.model_dump(mode="json"),
        )
    )


def look(connection: sa.Connection, release: str, stage: State, evidence: Evidence) -> None:
    """Write down what is known of a trial that goes on, with how much was seen as `looked_at`."""
    connection.execute(
        sa.update(trials)
        .where(trials.c.release == release, trials.c.stage == stage, trials.c.verdict.is_(None))
        .values(evidence=dict(evidence))
    )


def find(connection: sa.Connection, release: str, stage: State) -> Trial | None:
    """The plan of a release's stage, once it began."""
    row = connection.execute(
        sa.select(trials).where(trials.c.release == release, trials.c.stage == stage)
    ).one_or_none()
    return None if row is None else _trial(row)


def seconds_of(connection: sa.Connection, trial: Trial) -> float:
    """How long it goes on, by the database's clock."""
    elapsed = sa.extract("epoch", sa.func.clock_timestamp() - sa.literal(trial.started_at))
    return float(connection.execute(sa.select(elapsed)).scalar_one())


def conclude(
    connection: sa.Connection,
    release: str,
    stage: State,
    verdict: Verdict,
    evidence: Evidence,
) -> None:
    """Write the verdict down. It moves nothing: that is asked of the controller, or of a person."""
    connection.execute(
        sa.update(trials)
        .where(trials.c.release == release, trials.c.stage == stage)
        .values(
            verdict=verdict,
            evidence=dict(evidence),
            ended_at=sa.func.coalesce(trials.c.ended_at, sa.func.clock_timestamp()),
        )
    )


def _trial(row: sa.Row[Any]) -> Trial:
    return Trial(
        release=row.release,
        stage=State(row.stage),
        champion=row.champion,
        planned=row.planned,
        budget=row.budget,
        fronts=FrontSettings.model_validate(row.fronts),
        started_at=row.started_at,
        ended_at=row.ended_at,
        verdict=row.verdict,
        evidence=row.evidence,
    )
