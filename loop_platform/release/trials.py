"""The plan of a trial, fixed before its first pair or call, and the verdict on it.

How many pairs or calls decide is written down when the stage begins and read when it is judged:
nobody can stop early on a lucky streak, or go on until one comes. A test that holds under peeking
would plan a boundary here in place of a number.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from loop_platform.database import trials
from loop_platform.release.registry import Evidence
from loop_platform.release.states import State

Verdict = Literal["passed", "failed", "not known"]


@dataclass(frozen=True)
class Trial:
    """One release's time in `shadow` or `canary`."""

    release: str
    stage: State
    champion: str
    """What it is compared with."""
    planned: int
    started_at: datetime
    ended_at: datetime | None
    verdict: Verdict | None
    evidence: Evidence | None


def begin(
    connection: sa.Connection, release: str, stage: State, *, champion: str, planned: int
) -> None:
    """Write the plan down."""
    connection.execute(
        sa.insert(trials).values(release=release, stage=stage, champion=champion, planned=planned)
    )


def find(connection: sa.Connection, release: str, stage: State) -> Trial | None:
    """The plan of a release's stage, once it began."""
    row = connection.execute(
        sa.select(trials).where(trials.c.release == release, trials.c.stage == stage)
    ).one_or_none()
    return None if row is None else _trial(row)


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
        started_at=row.started_at,
        ended_at=row.ended_at,
        verdict=row.verdict,
        evidence=row.evidence,
    )
