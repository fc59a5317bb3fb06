"""Approval by a person: for which releases it is required, which wait for it, and who gave it.

A release answers every task, so one task that has a person promote is enough: of those that its
cycle corrected, or that were seen in its shadow or canary. Who asks for a promotion is its actor;
nothing but a person's asking is an approval, and the controller refuses a machine's.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from loop_platform.release import registry, requests, trials
from loop_platform.release.registry import Evidence
from loop_platform.release.states import RefusedError, State
from loop_platform.release.trials import Trial, Verdict
from loop_platform.settings import GateSettings

MACHINES = frozenset({"dagster", "controller", "training"})
"""The actors that are nobody; everyone else is a person, by the name of a key or of a login."""


class ApprovalNeededError(RefusedError):
    """A promotion that a machine asked for, of a release that a person has to approve."""

    def __init__(self, release: str, approval: "Approval") -> None:
        super().__init__(
            f"release {release!r} waits for a person, for {approval}: `loop release promote"
            f" {release}` or its page in the console sends it on"
        )


@dataclass(frozen=True)
class Approval:
    """Whether a person has to approve, and for whose sake."""

    needed: bool
    tasks: tuple[str, ...] = ()
    """The tasks that ask for it; none where the release met no task."""

    def __str__(self) -> str:
        if not self.needed:
            return "no task asks for a person's approval"
        return f"a person approves what answers {', '.join(self.tasks) or 'any task'}"

    def as_evidence(self) -> dict[str, Any]:
        return {"needed": self.needed, "tasks": list(self.tasks)}


def required(gates: GateSettings, tasks: Collection[str]) -> Approval:
    """What the settings say of a release that met these tasks."""
    asking = tuple(task for task in sorted(set(tasks)) if gates.promotion_of(task) == "person")
    return Approval(bool(asking) if tasks else gates.promotion == "person", asking)


def tasks_met(connection: sa.Connection, release: str) -> list[str]:
    """The tasks that its shadow and its canary saw or were about, as their evidence has them."""
    found: set[str] = set()
    for stage in (State.SHADOW, State.CANARY):
        trial = trials.find(connection, release, stage)
        if trial is not None and trial.evidence is not None:
            found.update(trial.evidence.get("tasks", ()))
    return sorted(found)


@dataclass(frozen=True)
class Wait:
    """A release whose trial is over and that nobody has sent on."""

    release: str
    stage: State
    verdict: Verdict
    reason: str
    approval: Approval
    since: datetime

    def __str__(self) -> str:
        return f"waits for a person: {self.reason}"


def waits(connection: sa.Connection, gates: GateSettings) -> list[Wait]:
    """What waits for a person, the longest first."""
    found = (
        _wait(connection, release.release, release.state, gates)
        for release in registry.in_states(connection, {State.SHADOW, State.CANARY})
    )
    return sorted((wait for wait in found if wait is not None), key=lambda wait: wait.since)


def _wait(
    connection: sa.Connection, release: str, stage: State, gates: GateSettings
) -> Wait | None:
    trial = trials.find(connection, release, stage)
    if trial is None or trial.verdict is None or trial.ended_at is None:
        return None
    if requests.pending(connection, release):
        return None
    return Wait(
        release=release,
        stage=stage,
        verdict=trial.verdict,
        reason=_reason(trial),
        approval=required(gates, tasks_met(connection, release)),
        since=trial.ended_at,
    )


def _reason(trial: Trial) -> str:
    return str((trial.evidence or {}).get("reason", f"its {trial.stage} {trial.verdict}"))


def given(connection: sa.Connection, release: str, actor: str, gates: GateSettings) -> Evidence:
    """Who approved, for the audit log; empty where no approval is required.

    Raises:
        ApprovalNeededError: it is, and `actor` is no person.
    """
    approval = required(gates, tasks_met(connection, release))
    if not approval.needed:
        return {}
    if actor in MACHINES:
        raise ApprovalNeededError(release, approval)
    return {"approval": {**approval.as_evidence(), "given_by": actor}}
