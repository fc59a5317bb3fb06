"""What Dagster, the console and the command line ask of the controller.

A request is a row; the controller handles it within a quarter of a second, does it or refuses it
with a sentence. Asking changes nothing by itself.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from loop_platform.database import move_requests
from loop_platform.release import registry
from loop_platform.release.registry import Evidence
from loop_platform.release.states import RefusedError, State

# Where a person who promotes a release sends it.
NEXT_STEP = {
    State.SHADOW: State.CANARY,
    State.CANARY: State.CHAMPION,
    State.RETIRED: State.CHAMPION,
    State.ROLLED_BACK: State.CHAMPION,
}


@dataclass(frozen=True)
class Request:
    """A move that somebody asked for."""

    request_id: int
    release: str
    to_state: State
    actor: str
    reason: str
    evidence: Evidence
    requested_at: datetime


@dataclass(frozen=True)
class Outcome:
    """What became of a request: open, done, or refused with a reason."""

    handled: bool
    refusal: str | None

    @property
    def done(self) -> bool:
        return self.handled and self.refusal is None


class UnknownRequestError(LookupError):
    """A request id that was never given out."""

    def __init__(self, request_id: int) -> None:
        super().__init__(f"there is no move request {request_id}")


def request_move(
    connection: sa.Connection,
    release: str,
    to_state: State,
    *,
    actor: str,
    reason: str,
    evidence: Evidence,
) -> int:
    """Ask for a move; returns the request's id.

    `to_state` `champion` promotes, `rejected` turns a candidate away, `rolled_back` of the
    champion brings the one before it back.

    Raises:
        UnknownReleaseError: there is no such release.
        ValueError: no reason was given.
    """
    if not reason.strip():
        raise ValueError(f"a move of release {release!r} to {to_state} needs a reason")
    known = registry.find(connection, release)
    statement = sa.insert(move_requests).values(
        release=known.release,
        to_state=State(to_state),
        actor=actor,
        reason=reason,
        evidence=dict(evidence),
    )
    return int(connection.execute(statement.returning(move_requests.c.request_id)).scalar_one())


def next_step(connection: sa.Connection, release: str) -> State:
    """Where a person who promotes a release sends it: out of the shadow into the canary, out of
    the canary to everyone.

    Raises:
        UnknownReleaseError: there is no such release.
        RefusedError: its next step is not a person's to take.
    """
    state = registry.find(connection, release).state
    if state not in NEXT_STEP:
        takes = ", ".join(NEXT_STEP)
        raise RefusedError(f"release {release!r} is {state}: only a release in {takes} is promoted")
    return NEXT_STEP[state]


def outcome(connection: sa.Connection, request_id: int) -> Outcome:
    """What became of a request.

    Raises:
        UnknownRequestError: the id was never given out.
    """
    row = connection.execute(
        sa.select(move_requests.c.handled_at, move_requests.c.refusal).where(
            move_requests.c.request_id == request_id
        )
    ).one_or_none()
    if row is None:
        raise UnknownRequestError(request_id)
    return Outcome(row.handled_at is not None, row.refusal)


def wait_for(database: sa.Engine, request_id: int, timeout_s: float = 10.0) -> Outcome:
    """Wait until the controller handled a request, or `timeout_s` seconds: it is open then."""
    deadline = time.monotonic() + timeout_s
    while True:
        with database.connect() as connection:
            found = outcome(connection, request_id)
        if found.handled or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def pending(connection: sa.Connection, release: str | None = None) -> Sequence[Request]:
    """The requests that wait for the controller, oldest first."""
    statement = (
        sa.select(move_requests)
        .where(move_requests.c.handled_at.is_(None))
        .order_by(move_requests.c.request_id)
    )
    if release is not None:
        statement = statement.where(move_requests.c.release == release)
    return [_request(row) for row in connection.execute(statement)]


def last_refusal(connection: sa.Connection, release: str) -> str | None:
    """Why the latest handled request for a release was refused; None where it was done."""
    refusal: str | None = connection.scalar(
        sa.select(move_requests.c.refusal)
        .where(move_requests.c.release == release, move_requests.c.handled_at.is_not(None))
        .order_by(move_requests.c.request_id.desc())
        .limit(1)
    )
    return refusal


def close(connection: sa.Connection, request_id: int, refusal: str | None) -> None:
    """Mark a request as done, or as refused with a sentence. For the controller."""
    connection.execute(
        sa.update(move_requests)
        .where(move_requests.c.request_id == request_id)
        .values(handled_at=sa.func.clock_timestamp(), refusal=refusal)
    )


def _request(row: sa.Row[Any]) -> Request:
    return Request(
        request_id=row.request_id,
        release=row.release,
        to_state=State(row.to_state),
        actor=row.actor,
        reason=row.reason,
        evidence=row.evidence,
        requested_at=row.requested_at,
    )
