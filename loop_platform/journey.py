"""Where a piece of feedback is: what a developer is told of what their correction changed.

    received ─► in review ─► accepted ─► in cycle ─► trained ─► in production
                    └► declined              └► quarantined, deferred: with the reason

Read from the rows of every stage on the way; nothing is kept for it.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from loop_platform.database import (
    cycle_corrections,
    cycles,
    decisions,
    moves,
    releases,
    review_feedback,
    review_items,
)

Station = dict[str, Any]

_HELD_BACK = {"quarantine": "quarantined", "deferred": "deferred"}

_RELEASE_STATES = {
    "registered": "trained",
    "evaluated": "on trial",
    "shadow": "on trial",
    "canary": "on trial",
    "champion": "in production",
    "retired": "in production",  # or in what was trained on top of it
    "rejected": "not released",
    "rolled_back": "rolled back",
}


def journey(connection: sa.Connection, feedback_id: str, tenant: str) -> dict[str, Any] | None:
    """The stations that a tenant's feedback came by, oldest first, and its present `state`.

    None when the queue does not know it: it has just been received, or asked for no decision.
    """
    query = (
        sa.select(review_feedback, review_items.c.created_at, review_items.c.call_id)
        .join(review_items, review_items.c.item_id == review_feedback.c.item_id)
        .where(review_feedback.c.feedback_id == feedback_id, review_feedback.c.tenant == tenant)
    )
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    in_review = max(found.created_at, found.received_at)
    stations = [_station("received", found.received_at), _station("in review", in_review)]
    stations += _after_review(connection, found.item_id)
    return {
        "feedback_id": feedback_id,
        "call_id": found.call_id,
        "state": stations[-1]["station"],
        "release": next((entry["release"] for entry in stations if "release" in entry), None),
        "stations": stations,
    }


def _after_review(connection: sa.Connection, item_id: str) -> list[Station]:
    query = (
        sa.select(decisions)
        .where(decisions.c.item_id == item_id, decisions.c.verdict != "skip")
        .order_by(decisions.c.decided_at.desc(), decisions.c.decision_id.desc())
        .limit(1)
    )
    decision = connection.execute(query).one_or_none()
    if decision is None:
        return []
    if decision.verdict not in ("accept", "correct"):
        # Not said which of the two it was: whoever sends malicious corrections learns nothing.
        return [_station("declined", decision.decided_at)]
    accepted = _station("accepted", decision.decided_at, verdict=decision.verdict)
    return [accepted, *_after_decision(connection, decision.decision_id)]


def _after_decision(connection: sa.Connection, decision_id: str) -> list[Station]:
    used = connection.execute(
        sa.select(cycle_corrections, cycles.c.opened_at)
        .join(cycles, cycles.c.cycle == cycle_corrections.c.cycle)
        .where(cycle_corrections.c.decision_id == decision_id, cycles.c.kind == "improvement")
        .order_by(cycles.c.opened_at.desc())
        .limit(1)
    ).one_or_none()
    if used is None:
        return []
    if used.split in _HELD_BACK:
        word = _HELD_BACK[used.split]
        return [_station(word, used.opened_at, cycle=used.cycle, reason=used.reason)]
    in_cycle = _station("in cycle", used.opened_at, cycle=used.cycle, split=used.split)
    return [in_cycle, *_after_training(connection, used.cycle)]


def _after_training(connection: sa.Connection, cycle: str) -> list[Station]:
    release = connection.execute(
        sa.select(releases)
        .where(releases.c.cycle == cycle)
        .order_by(releases.c.created_at.desc())
        .limit(1)
    ).one_or_none()
    if release is None:
        return []
    stations = [_station("trained", release.created_at, release=release.release)]
    if release.state == "registered":
        return stations
    since = connection.scalar(
        sa.select(sa.func.max(moves.c.moved_at)).where(
            moves.c.release == release.release, moves.c.to_state == release.state
        )
    )
    word = _RELEASE_STATES[release.state]
    more = {"release": release.release, "release_state": release.state}
    return [*stations, _station(word, since or release.state_since, **more)]


def _station(station: str, at: datetime, **more: str | None) -> Station:
    return {"station": station, "at": at.isoformat(), **more}
