"""How one champion follows another: promotion and rollback, one flip each.

The release that is to serve must be ready on its engine before anything moves; until then the
request waits.
"""

import sqlalchemy as sa

from loop_platform.release import approval, machine, registry, routes, slots, trials
from loop_platform.release.inspection import Inspection, compare
from loop_platform.release.registry import Evidence, Release
from loop_platform.release.requests import Request
from loop_platform.release.states import RefusedError, State, check_move
from loop_platform.settings import GateSettings

_COMPARED = (State.EVALUATED, State.SHADOW, State.CANARY)


def promote(
    connection: sa.Connection, request: Request, gates: GateSettings, inspection: Inspection
) -> bool:
    """Make the release of the request the champion; False while its engine is not ready, or its
    files are being read.

    Raises:
        ChangedFilesError: its files are not those that were registered.
        RefusedError: it may not become champion.
    """
    candidate = registry.find(connection, request.release)
    check_move(candidate.release, candidate.state, State.CHAMPION, drill=candidate.drill)
    judged = _judged(connection, candidate)
    approved = _approved(connection, candidate, request.actor, gates)
    if not _ready(connection, candidate):
        return False
    inspected = _inspected(connection, candidate, inspection)
    if inspected is None:
        return False
    evidence = {**request.evidence, **judged, **approved, **inspected}
    before = registry.champion(connection)
    _flip(connection, candidate, State.RETIRED, request, evidence)
    if candidate.state is State.CANARY and before is not None and gates.watch_s:
        _begin_watch(connection, candidate, before, gates)
    routes.follow(connection, gates)
    return True


def roll_back(connection: sa.Connection, request: Request, gates: GateSettings) -> bool:
    """Bring the champion before this one back; False while its engine is not ready.

    Raises:
        RefusedError: the release is not the champion, or there is nothing to go back to.
    """
    champion = registry.find(connection, request.release)
    check_move(champion.release, champion.state, State.ROLLED_BACK)
    before = registry.rollback_target(connection)
    if before is None:
        raise RefusedError(
            f"release {champion.release!r} is the first champion: there is none to roll back to"
        )
    if not _ready(connection, before):
        return False
    _flip(connection, before, State.ROLLED_BACK, request, request.evidence)
    routes.follow(connection, gates)
    return True


def _flip(
    connection: sa.Connection,
    successor: Release,
    predecessor_becomes: State,
    request: Request,
    evidence: Evidence,
) -> None:
    predecessor = registry.champion(connection)
    turns = [] if predecessor is None else [(predecessor.release, predecessor_becomes)]
    facts = {
        **evidence,
        "predecessor": predecessor.release if predecessor is not None else None,
        "successor": successor.release,
    }
    for release, state in [*turns, (successor.release, State.CHAMPION)]:
        machine.move(
            connection,
            release,
            state,
            actor=request.actor,
            reason=request.reason,
            evidence=facts,
        )
    _turn_away_compared(connection, successor, facts)


def _begin_watch(
    connection: sa.Connection, champion: Release, before: Release, gates: GateSettings
) -> None:
    """The plan of a new champion's first hour, in the terms of its canary."""
    trials.begin(
        connection,
        champion.release,
        State.CHAMPION,
        champion=before.release,
        planned=gates.canary_calls,
        budget=gates.watch_budget,
        fronts=gates.fronts,
    )


def _turn_away_compared(connection: sa.Connection, champion: Release, evidence: Evidence) -> None:
    """Candidates that were compared with the champion of before: what they showed is void."""
    for release in registry.in_states(connection, _COMPARED):
        machine.move(
            connection,
            release.release,
            State.REJECTED,
            actor="controller",
            reason=f"it was compared with the champion before, and {champion.release} is it now",
            evidence=evidence,
        )


def _judged(connection: sa.Connection, candidate: Release) -> Evidence:
    """The verdict on the canary, which nobody can promote without."""
    if candidate.state is not State.CANARY:
        return {}
    trial = trials.find(connection, candidate.release, State.CANARY)
    if trial is None or trial.verdict is None:
        raise RefusedError(
            f"release {candidate.release!r} is in canary and not judged yet: its trial ends after"
            f" {trial.planned if trial else 0} calls"
        )
    return {"canary": trial.verdict}


def _approved(
    connection: sa.Connection, candidate: Release, actor: str, gates: GateSettings
) -> Evidence:
    """Who approved a candidate, where somebody has to. What was champion once needs nobody."""
    if candidate.state is not State.CANARY:
        return {}
    return approval.given(connection, candidate.release, actor, gates)


def _inspected(
    connection: sa.Connection, candidate: Release, inspection: Inspection
) -> Evidence | None:
    """What its files are, beside what they were; None while they are read. What was champion once
    and of which nobody wrote that down, as of the base model, needs nothing."""
    sealed = registry.sealed_files(connection, candidate.release)
    if not sealed and candidate.state is not State.CANARY:
        return {}
    found = inspection.found(candidate)
    return None if found is None else compare(candidate, sealed, found)


def _ready(connection: sa.Connection, release: Release) -> bool:
    slot = slots.serving(connection, release.release)
    return slot is not None and slot.ready
