"""From what the gates said to what is asked of the controller."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from loop_platform.release import registry, requests, trials
from loop_platform.release.approval import Approval
from loop_platform.release.registry import Evidence
from loop_platform.release.states import State
from loop_platform.release.trials import Trial, Verdict

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


@dataclass(frozen=True)
class Settled:
    """What followed from a look at a trial."""

    asked_for: str
    refused: bool
    """The candidate is turned away."""


def settle(
    connection: sa.Connection,
    trial: Trial,
    verdict: Verdict,
    reason: str,
    evidence: dict[str, Any],
    *,
    then: State,
    approval: Approval,
    waits_for_people: bool = False,
) -> Settled:
    """Write down what a look showed, and ask for what follows from it.

    A trial that is not settled goes on until its budget is spent, and as long as people are asked
    about its pairs (`waits_for_people`). What is not known then does not pass by itself: it is
    turned away, or waits for a person where one has to approve. After the canary (`then` is
    champion) what has passed waits for that person, too.
    """
    seen = evidence["looked_at"]
    spent = seen >= trial.budget
    if verdict == "not known" and (not spent or waits_for_people):
        shown = {**evidence, "verdict": verdict, "reason": reason}
        trials.look(connection, trial.release, trial.stage, shown)
        if spent:
            return Settled(f"nothing: {reason}; people judge its pairs", refused=False)
        more = max(trial.planned, trials.after(seen, trial.budget))
        return Settled(f"nothing: {reason}; looked at again after {more}", refused=False)
    if verdict == "not known":
        reason = f"the budget of {trial.budget} is spent, {reason}"
    shown = {
        **evidence,
        "verdict": verdict,
        "reason": reason,
        "approval": approval.as_evidence(),
    }
    trials.conclude(connection, trial.release, trial.stage, verdict, shown)
    waits = approval.needed and (
        verdict == "not known" or (verdict == "passed" and then is State.CHAMPION)
    )
    if waits:
        said = f"release {trial.release} waits for a person: {reason}; {approval}"
        return Settled(said, refused=False)
    target = then if verdict == "passed" else State.REJECTED
    asked = ask(connection, trial.release, trial.stage, target, reason=reason, evidence=shown)
    return Settled(asked, refused=target is State.REJECTED)
