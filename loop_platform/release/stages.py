"""What the controller does by itself with a release in trial: begin its shadow, end it when a
guardrail breaks, when a stage takes too long, or when a drill got through the gates; and with a new
champion: take it back when a guardrail breaks while it is watched, and see to it that whoever lost
its watch goes.
"""

from datetime import datetime

import sqlalchemy as sa

from loop_platform.records import Route
from loop_platform.release import (
    conduct,
    guardrails,
    machine,
    registry,
    requests,
    routes,
    slots,
    trials,
)
from loop_platform.release.conduct import Comparison
from loop_platform.release.guardrails import Counts
from loop_platform.release.inspection import ChangedFilesError, UnsealedError
from loop_platform.release.registry import Evidence, Release
from loop_platform.release.requests import Request
from loop_platform.release.states import IN_TRIAL, RefusedError, State
from loop_platform.release.trials import Trial
from loop_platform.settings import Settings

ACTOR = "controller"

# At least, and at most.
_PLANNED = {
    State.SHADOW: ("shadow_pairs", "shadow_budget"),
    State.CANARY: ("canary_calls", "canary_budget"),
}


def enter(
    connection: sa.Connection,
    release: Release,
    stage: State,
    settings: Settings,
    *,
    actor: str,
    reason: str,
    evidence: Evidence,
) -> None:
    """Move a release into `shadow` or `canary` and fix what it has to show there.

    Raises:
        RefusedError: the state machine has no such move, or there is nothing to compare with.
    """
    champion = registry.champion(connection)
    if champion is None:
        raise RefusedError(f"release {release.release!r} has no champion to be compared with")
    planned, budget = (getattr(settings.gates, name) for name in _PLANNED[stage])
    fronts = settings.gates.fronts
    facts = {
        **evidence,
        "planned": planned,
        "budget": budget,
        "fronts": fronts.model_dump(mode="json"),
        "champion": champion.release,
    }
    machine.move(connection, release.release, stage, actor=actor, reason=reason, evidence=facts)
    trials.begin(
        connection,
        release.release,
        stage,
        champion=champion.release,
        planned=planned,
        budget=budget,
        fronts=fronts,
    )


def stop_drill(connection: sa.Connection, release: Release, evidence: Evidence) -> None:
    """A drill is bad on purpose: one that reaches the canary shows gates that let it through."""
    machine.move(
        connection,
        release.release,
        State.REJECTED,
        actor=ACTOR,
        reason="ALARM: the drill passed the gates; it is stopped before anyone is exposed to it",
        evidence={**evidence, "alarm": True},
    )


def turn_away_changed(
    connection: sa.Connection, request: Request, refusal: ChangedFilesError
) -> None:
    """A candidate that was changed after it was evaluated: what it showed was shown by another."""
    if registry.find(connection, refusal.release).state not in IN_TRIAL:
        return
    machine.move(
        connection,
        refusal.release,
        State.REJECTED,
        actor=ACTOR,
        reason=str(refusal),
        evidence={**refusal.evidence, "asked_by": request.actor},
    )


def advance(connection: sa.Connection, settings: Settings) -> None:
    """Look at every release in trial once, and at a champion that is watched."""
    _watch(connection, settings)
    for release in registry.in_states(connection, IN_TRIAL):
        ending = _ending(connection, release, settings)
        if ending is not None:
            reason, evidence = ending
            machine.move(
                connection,
                release.release,
                State.REJECTED,
                actor=ACTOR,
                reason=reason,
                evidence=evidence,
            )
        elif release.state is State.EVALUATED and not routes.paused(connection):
            enter(
                connection,
                release,
                State.SHADOW,
                settings,
                actor=ACTOR,
                reason="it passed the offline gates",
                evidence={},
            )


def _watch(connection: sa.Connection, settings: Settings) -> None:
    """Ask for the rollback of a new champion whose calls fail."""
    champion = registry.champion(connection)
    if champion is None or requests.pending(connection, champion.release):
        return
    trial = trials.find(connection, champion.release, State.CHAMPION)
    if trial is None:
        return
    if trial.ended_at is not None:
        _insist(connection, champion, trial)
        return
    if trials.seconds_of(connection, trial) > settings.gates.watch_s:
        return
    counted = guardrails.counts(connection, champion.release, "champion", trial.started_at)
    met = conduct.in_watch(connection, trial, settings.gates.watch_s)
    sentence = _broken(counted, met, "champion", trial, settings)
    if sentence is None:
        return
    reason = f"guardrail after its promotion: {sentence}"
    evidence = {
        "champion": counted.as_evidence(),
        "met": met.as_evidence(),
        "reason": reason,
        "looked_at": trial.looked_at,
    }
    trials.conclude(connection, champion.release, State.CHAMPION, "failed", evidence)
    requests.request_move(
        connection,
        champion.release,
        State.ROLLED_BACK,
        actor=ACTOR,
        reason=reason,
        evidence={"guardrail": counted.as_evidence(), "met": met.as_evidence()},
    )


def _insist(connection: sa.Connection, champion: Release, trial: Trial) -> None:
    """Ask again for the rollback of a champion that lost its watch and serves all the same: an
    engine that did not come up in time may come up yet. Each request has the patience of one start.

    A champion that a person brought back after its watch was lost is left alone.
    """
    if trial.verdict != "failed" or trial.ended_at is None:
        return
    if trial.ended_at < champion.state_since:
        return
    if registry.rollback_target(connection) is None:
        return
    requests.request_move(
        connection,
        champion.release,
        State.ROLLED_BACK,
        actor=ACTOR,
        reason=f"asked again: {(trial.evidence or {}).get('reason', 'it lost its watch')}",
        evidence={"refused before": requests.last_refusal(connection, champion.release)},
    )


def _ending(
    connection: sa.Connection, release: Release, settings: Settings
) -> tuple[str, Evidence] | None:
    """Why a release has to go now, with the evidence."""
    if registry.sealed_files(connection, release.release) is None:
        return str(UnsealedError(release.release)), {"files": {"verdict": "not known"}}
    if release.state in (State.SHADOW, State.CANARY):
        return _trial_ending(connection, release, settings)
    slot = slots.serving(connection, release.release)
    if release.state is not State.REGISTERED or slot is None:
        return None
    waited = _seconds_since(connection, slot.since)
    limit = settings.engine.start_timeout_s
    if not slot.ready and waited > limit:
        return f"its engine did not serve it within {limit:g} s", {"waited_s": waited}
    if waited > settings.gates.stage_timeout_s + limit:
        return _too_late("the offline evaluation", settings), {"waited_s": waited}
    return None


def _trial_ending(
    connection: sa.Connection, release: Release, settings: Settings
) -> tuple[str, Evidence] | None:
    trial = trials.find(connection, release.release, release.state)
    if trial is None:
        return f"it is in {release.state} without a plan", {}
    route: Route = "canary" if release.state is State.CANARY else "shadow"
    counted = guardrails.counts(connection, release.release, route, trial.started_at)
    met = conduct.in_canary(connection, trial) if route == "canary" else None
    evidence = {
        route: counted.as_evidence(),
        "planned": trial.planned,
        "budget": trial.budget,
        "known": trial.evidence,
    }
    if met is not None:
        evidence["met"] = met.as_evidence()
    sentence = _broken(counted, met, route, trial, settings)
    if sentence is not None:
        return f"guardrail in {release.state}: {sentence}", evidence
    running = trial.verdict is None
    if running and _seconds_since(connection, trial.started_at) > settings.gates.stage_timeout_s:
        seen = f"{counted.calls} calls came, {trial.looked_at} were judged, {trial.budget} may be"
        return f"{_too_late(release.state, settings)}: {seen}", evidence
    return None


def _broken(
    counted: Counts, met: Comparison | None, route: Route, trial: Trial, settings: Settings
) -> str | None:
    """The sentence of the guardrail that broke, or None."""
    sentence = guardrails.broken(counted, route, settings.gates)
    if sentence is not None or met is None:
        return sentence
    return guardrails.worse(met, trial.fronts, settings.gates.max_cost_ratio)


def _too_late(what: str, settings: Settings) -> str:
    return f"{what} took longer than {settings.gates.stage_timeout_s:g} s"


def _seconds_since(connection: sa.Connection, moment: datetime) -> float:
    elapsed = sa.extract("epoch", sa.func.clock_timestamp() - sa.literal(moment))
    return float(connection.execute(sa.select(elapsed)).scalar_one())
