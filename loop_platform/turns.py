"""The turns of the loop in numbers: what each cycle used, how long each stage took, what it gained.

Read from the timestamps that every stage leaves; the console, the daily metrics and the demo show
the same figures.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from loop_platform.database import (
    cycle_corrections,
    cycles,
    decisions,
    moves,
    releases,
    review_feedback,
)

_ON_TRIAL = {
    "registered": "offline evaluation",
    "evaluated": "waiting for shadow",
    "shadow": "shadow",
    "canary": "canary",
}
_TERMINAL = ("champion", "rejected", "rolled_back")


@dataclass(frozen=True)
class Spread:
    """Percentiles over `n` seconds; each is one of them (nearest rank)."""

    n: int
    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread | None":
        """None of nothing."""
        ranked = sorted(seconds)
        if not ranked:
            return None
        at = {share: ranked[max(0, -(-len(ranked) * share // 100) - 1)] for share in (50, 95)}
        return cls(len(ranked), round(at[50], 3), round(at[95], 3), round(ranked[-1], 3))


@dataclass(frozen=True)
class Turn:
    """One cycle."""

    cycle: str
    kind: str
    drill_of: str | None
    reason: str
    opened_at: datetime
    closed_at: datetime | None
    corrections: dict[str, int]
    """Rows by split."""
    contributors: int
    release: str | None = None
    release_state: str | None = None
    stages_s: dict[str, float] = field(default_factory=dict)
    """Seconds in each stage that is over, in their order; one that goes on is counted till now."""
    correction_parts_s: dict[str, Spread] = field(default_factory=dict)
    """Where the way of a correction to this cycle took its time."""
    correction_to_production_s: Spread | None = None
    """From the arrival of the feedback to the move to champion, over all corrections used."""
    scores: list[dict[str, Any]] = field(default_factory=list)
    """The offline evidence: champion before and candidate after, with n and interval."""
    record: dict[str, Any] = field(default_factory=dict)
    """The training record."""


def turns(connection: sa.Connection) -> list[Turn]:
    """Every cycle, oldest first."""
    rows = connection.execute(sa.select(cycles).order_by(cycles.c.opened_at, cycles.c.cycle))
    return [_turn(connection, row) for row in rows.all()]


def _turn(connection: sa.Connection, cycle: sa.Row[Any]) -> Turn:
    now = connection.scalar(sa.select(sa.func.clock_timestamp()))
    splits = sa.select(cycle_corrections.c.split, sa.func.count()).where(
        cycle_corrections.c.cycle == cycle.cycle
    )
    contributors = sa.select(sa.func.count(cycle_corrections.c.contributor.distinct())).where(
        cycle_corrections.c.cycle == cycle.cycle, _used()
    )
    release = connection.execute(
        sa.select(releases)
        .where(releases.c.cycle == cycle.cycle)
        .order_by(releases.c.created_at.desc())
        .limit(1)
    ).one_or_none()
    history = _history(connection, release)
    return Turn(
        cycle=cycle.cycle,
        kind=cycle.kind,
        drill_of=cycle.drill_of,
        reason=cycle.reason,
        opened_at=cycle.opened_at,
        closed_at=cycle.closed_at,
        corrections=dict(
            connection.execute(splits.group_by(cycle_corrections.c.split)).tuples().all()
        ),
        contributors=connection.scalar(contributors) or 0,
        release=release.release if release else None,
        release_state=release.state if release else None,
        stages_s=_stages(cycle, history, now),
        record=release.record if release else {},
        scores=_scores(history),
        **_ways(connection, cycle, history),
    )


def _used() -> sa.ColumnElement[bool]:
    return cycle_corrections.c.split.in_(["train", "heldout"])


def _history(connection: sa.Connection, release: sa.Row[Any] | None) -> list[sa.Row[Any]]:
    if release is None:
        return []
    query = sa.select(moves).where(moves.c.release == release.release).order_by(moves.c.move_id)
    return list(connection.execute(query).all())


def _stages(
    cycle: sa.Row[Any], history: Sequence[sa.Row[Any]], now: datetime | None
) -> dict[str, float]:
    """Curation and training until the release is registered; then the time in each state."""
    marks = [("curation and training", cycle.opened_at)]
    for move in history:
        if move.to_state in _ON_TRIAL:
            marks.append((_ON_TRIAL[move.to_state], move.moved_at))
        elif move.to_state in _TERMINAL:
            marks.append(("", move.moved_at))
            break
    else:
        marks.append(("", cycle.closed_at or now))
    return {
        word: round((until - since).total_seconds(), 3)
        for (word, since), (_, until) in itertools.pairwise(marks)
    }


def _scores(history: Sequence[sa.Row[Any]]) -> list[dict[str, Any]]:
    """The scores of the offline evaluation, whichever way it went."""
    for move in history:
        if move.from_state == "registered":
            return list(move.evidence.get("scores", []))
    return []


def _ways(
    connection: sa.Connection, cycle: sa.Row[Any], history: Sequence[sa.Row[Any]]
) -> dict[str, Any]:
    """How long the corrections took that a person sent in and the cycle used."""
    promoted = next((move.moved_at for move in history if move.to_state == "champion"), None)
    query = (
        sa.select(review_feedback.c.received_at, decisions.c.decided_at)
        .select_from(cycle_corrections)
        .join(decisions, decisions.c.decision_id == cycle_corrections.c.decision_id)
        .join(review_feedback, review_feedback.c.feedback_id == cycle_corrections.c.feedback_id)
        .where(cycle_corrections.c.cycle == cycle.cycle, _used())
    )
    ways = connection.execute(query).tuples().all()
    parts = {
        "feedback to decision": _spread((until - since) for since, until in ways),
        "decision to cycle": _spread((cycle.opened_at - until) for _, until in ways),
    }
    whole = None if promoted is None else _spread((promoted - since) for since, _ in ways)
    return {
        "correction_parts_s": {name: spread for name, spread in parts.items() if spread},
        "correction_to_production_s": whole if cycle.kind == "improvement" else None,
    }


def _spread(spans: Iterable[timedelta]) -> Spread | None:
    return Spread.of([span.total_seconds() for span in spans])
