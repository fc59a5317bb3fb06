"""Where the controller handles what was asked of it: each request is done, refused or left waiting.

Raising `RefusedError` refuses with its sentence.
"""

import logging

import sqlalchemy as sa

from loop_platform.release import machine, registry, requests, stages, succession, trials
from loop_platform.release.inspection import ChangedFilesError, Inspection
from loop_platform.release.leader import Leadership
from loop_platform.release.registry import Release
from loop_platform.release.requests import Request
from loop_platform.release.states import IN_TRIAL, RefusedError, State
from loop_platform.settings import Settings

_log = logging.getLogger(__name__)


def handle_all(leadership: Leadership, settings: Settings, inspection: Inspection) -> None:
    """Handle what is pending, each request in a transaction of its own."""
    with leadership.transaction() as connection:
        waiting = requests.pending(connection)
    for request in waiting:
        try:
            with leadership.transaction() as connection:
                if not _handle(connection, request, settings, inspection):
                    _check_patience(connection, request, settings)
                    continue
                requests.close(connection, request.request_id, refusal=None)
            inspection.forget(request.release)
            _log.info("%s is %s: %s", request.release, request.to_state, request.reason)
        except RefusedError as refusal:
            inspection.forget(request.release)
            with leadership.transaction() as connection:
                requests.close(connection, request.request_id, refusal=str(refusal))
                if isinstance(refusal, ChangedFilesError):
                    stages.turn_away_changed(connection, request, refusal)
            _log.info("refused %s for %s: %s", request.to_state, request.release, refusal)


def _handle(
    connection: sa.Connection, request: Request, settings: Settings, inspection: Inspection
) -> bool:
    """Do what a request asks; False when it has to wait, for an engine or for files."""
    release = registry.find(connection, request.release)
    _check_comparison(connection, request, release)
    match request.to_state:
        case State.CHAMPION:
            return succession.promote(connection, request, settings.gates, inspection)
        case State.ROLLED_BACK:
            return succession.roll_back(connection, request, settings.gates)
        case State.CANARY if release.drill and release.state is State.SHADOW:
            stages.stop_drill(connection, release, request.evidence)
        case State.CANARY | State.SHADOW as stage:
            _enter(connection, request, release, stage, settings)
        case _:
            machine.move(
                connection,
                release.release,
                request.to_state,
                actor=request.actor,
                reason=request.reason,
                evidence=request.evidence,
            )
    return True


def _enter(
    connection: sa.Connection,
    request: Request,
    release: Release,
    stage: State,
    settings: Settings,
) -> None:
    evidence = dict(request.evidence)
    if stage is State.CANARY and release.state is State.SHADOW:
        trial = trials.find(connection, release.release, State.SHADOW)
        if trial is None or trial.verdict is None:
            raise RefusedError(
                f"release {release.release!r} is in shadow and not judged yet: its fronts are not"
                f" settled, and {trial.budget if trial else 0} pairs are its budget"
            )
        evidence["shadow"] = trial.verdict
    stages.enter(
        connection,
        release,
        stage,
        settings,
        actor=request.actor,
        reason=request.reason,
        evidence=evidence,
    )


def _check_comparison(connection: sa.Connection, request: Request, release: Release) -> None:
    """Evidence names the champion that it compares with; an old one's proves nothing."""
    compared = request.evidence.get("champion")
    if compared is None or release.state not in IN_TRIAL:
        return
    champion = registry.champion(connection)
    if champion is None or champion.release != compared:
        now = "nobody" if champion is None else champion.release
        raise RefusedError(
            f"release {release.release!r} was compared with {compared!r}, and the champion is"
            f" {now!r} now: evaluate it again"
        )


def _check_patience(connection: sa.Connection, request: Request, settings: Settings) -> None:
    age = sa.extract("epoch", sa.func.clock_timestamp() - sa.literal(request.requested_at))
    waited = float(connection.execute(sa.select(age)).scalar_one())
    if waited > settings.engine.start_timeout_s:
        raise RefusedError(
            f"no engine served the release that would be champion within"
            f" {settings.engine.start_timeout_s:g} s"
        )
