"""The releases: their states, each move with its evidence, and the moves that people ask for."""

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from loop_platform.console import replies
from loop_platform.console.decision import decision
from loop_platform.console.replies import Refused
from loop_platform.console.session import Endpoint, Visit, needs
from loop_platform.database import move_requests
from loop_platform.release import approval, registry
from loop_platform.release.card import NoCardError, card_of
from loop_platform.release.registry import Release, UnknownReleaseError
from loop_platform.release.requests import NEXT_STEP, next_step, request_move, wait_for
from loop_platform.release.states import IN_TRIAL, MOVES, RefusedError, State

# Where each leads; promotion to whatever step comes next.
MOVES_BY_NAME: dict[str, State | None] = {
    "promote": None,
    "rollback": State.ROLLED_BACK,
    "reject": State.REJECTED,
}

_PROMOTES = {State.CANARY: "Send into the canary", State.CHAMPION: "Promote to champion"}

_WAIT_S = 3.0


@needs("reviewer")
def listing(visit: Visit) -> Response:
    return replies.json({"releases": [_summary(release) for release in _all(visit)]})


@needs("reviewer")
def one(visit: Visit) -> Response:
    return replies.json(_whole(visit))


@needs("reviewer")
def card(visit: Visit) -> Response:
    """The model card, as Markdown."""
    try:
        with visit.console.database.connect() as connection:
            return replies.markdown(card_of(connection, visit.path("release")))
    except (UnknownReleaseError, NoCardError) as error:
        raise Refused(404, str(error)) from error


def mover(name: str) -> Endpoint:
    """The endpoint that asks the controller for a move, and says what became of it, where that is
    known within three seconds."""

    @needs("admin")
    def move(visit: Visit) -> Response:
        request_id = _request(visit, name)
        became = wait_for(visit.console.database, request_id, _WAIT_S)
        if became.refusal is not None:
            raise Refused(409, became.refusal)
        said = {"request_id": request_id, "release": visit.path("release"), "done": became.done}
        return replies.json(said, 200 if became.done else 202)

    return move


def _request(visit: Visit, name: str) -> int:
    release, who = visit.path("release"), visit.key.name
    reason = str(visit.body.get("reason") or f"asked for by {who}")
    try:
        with visit.console.database.begin() as connection:
            target = MOVES_BY_NAME[name] or next_step(connection, release)
            return request_move(connection, release, target, actor=who, reason=reason, evidence={})
    except UnknownReleaseError as error:
        raise Refused(404, str(error)) from error
    except RefusedError as error:
        raise Refused(409, str(error)) from error


@needs("reviewer")
def list_page(visit: Visit) -> Response:
    gates = visit.console.settings.gates
    with visit.console.database.connect() as connection:
        found = registry.all_releases(connection)
        waits = {wait.release: wait for wait in approval.waits(connection, gates)}
    context = {
        "key": visit.key,
        "at": "releases",
        "releases": list(reversed(found)),
        "waits": waits,
    }
    return replies.page(visit.request, "releases.html", context)


@needs("reviewer")
def page(visit: Visit) -> Response:
    release = _whole(visit)
    state = State(release["state"])
    with visit.console.database.connect() as connection:
        known = registry.find(connection, release["release"])
        found = decision(connection, known, visit.console.settings.gates)
    # A trial that is not judged goes on, and drills are bad on purpose: the controller would refuse
    # to promote either.
    goes_on = state in IN_TRIAL and found.wait is None
    can_go = state in NEXT_STEP and not release["drill"] and not goes_on
    allowed = ["promote"] if can_go else []
    context = {
        "key": visit.key,
        "at": "releases",
        "release": release,
        "decision": found,
        "promotes": _PROMOTES.get(NEXT_STEP.get(state, state)),
        "allowed": [*allowed, *(name for name, to in MOVES_BY_NAME.items() if to in MOVES[state])],
    }
    return replies.page(visit.request, "release.html", context)


def _all(visit: Visit) -> list[Release]:
    with visit.console.database.connect() as connection:
        return registry.all_releases(connection)


def _summary(release: Release) -> dict[str, Any]:
    fields = asdict(release)
    return {name: str(value) if name.endswith("_path") else value for name, value in fields.items()}


def _whole(visit: Visit) -> dict[str, Any]:
    name = visit.path("release")
    try:
        with visit.console.database.connect() as connection:
            release = registry.find(connection, name)
            moves = [asdict(entry) for entry in registry.moves(connection, name)]
            asked = sa.select(move_requests).where(move_requests.c.release == name)
            requests = [
                dict(row)
                for row in connection.execute(asked.order_by(move_requests.c.request_id)).mappings()
            ]
    except UnknownReleaseError as error:
        raise Refused(404, str(error)) from error
    return {**_summary(release), "moves": moves, "requests": requests}
