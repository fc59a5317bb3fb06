"""A candidate that is excellent for the judge and bad for users.

It does its tasks, so its validator, and with it its whole shadow, speaks for it; but it is rude,
and users complain. Their complaints have to end its canary. Only callers of the drill meet it.
"""

from loop_platform.drilling.judge import RIGHT
from loop_platform.drilling.names import IMPROVED, KEPT, mark
from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.drilling.verdicts import ended_in_canary, exposed_little, unpromoted
from loop_platform.engine.faulty import Script
from loop_platform.release.states import State

_RUDE = f"{RIGHT},you-fool"  # one word, and so one token, like the champion's
_ONE_STAR = 1


def run(rehearsal: Rehearsal) -> list[Finding]:
    rehearsal.callers.opinion = lambda answer: _ONE_STAR if answer == _RUDE else None
    name = rehearsal.plant(
        *(Script(of=mark(task), says=_RUDE) for task in (IMPROVED, KEPT)), stopped_at_canary=False
    ).release
    rehearsal.begin_shadow()
    rehearsal.settled()
    moves = rehearsal.moves()
    canary = next((move for move in moves if move.to_state is State.CANARY), None)
    return [
        Finding(
            "its shadow speaks for it",
            "it did not get beyond it" if canary is None else f"{canary.actor}: {canary.reason}",
            canary is not None,
        ),
        *unpromoted(rehearsal),
        ended_in_canary(
            rehearsal,
            "satisfaction",
            "objected to",
            f", after {rehearsal.calls.complaints[name]} complaints",
        ),
        *exposed_little(rehearsal),
    ]
