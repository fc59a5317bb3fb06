"""From what the gates said to what is asked of the controller."""

from typing import Any

import sqlalchemy as sa

from loop_platform.release import registry, requests, trials
from loop_platform.release.registry import Evidence
from loop_platform.release.states import State
from loop_platform.release.trials import Verdict

ACTOR = "dagster"


def ask(
    connection: sa.Connection,
    release: str,
    at: State,
    to_state: State,
    *,
    reason: str,
    evidence: Evidence,
) -> str:
    """Ask for a move of a release that is still where it was judged; says what was done."""
    state = registry.find(connection, release).state
    if state is not at:
        return f"nothing asked: release {release} is {state} by now"
    request = requests.request_move(
        connection, release, to_state, actor=ACTOR, reason=reason, evidence=evidence
    )
    return f"{to_state} asked for release {release}, request {request}"


def conclude(
    connection: sa.Connection,
    release: str,
    stage: State,
    verdict: Verdict,
    *,
    reason: str,
    evidence: dict[str, Any],
    next_state: State | None,
) -> str:
    """Write a trial's verdict down and ask for what follows from it: `next_state`, rejection after
    `failed`, or, with None, nothing: a person decides.
    """
    trials.conclude(connection, release, stage, verdict, evidence)
    if verdict == "failed":
        return ask(connection, release, stage, State.REJECTED, reason=reason, evidence=evidence)
    if next_state is None:
        return f"release {release} waits for a person: {reason}"
    return ask(connection, release, stage, next_state, reason=reason, evidence=evidence)
