"""A candidate that fails on a fifth of its calls.

Its shadow has to end by the guardrail on errors, before any look at its fronts, and nobody is to
get an answer of it. A share near the limit (`gates.max_error_share`) takes the guardrail hundreds
of calls; telling that is the fronts' part, and no part of this drill.
"""

from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.release import registry
from loop_platform.release.states import State

_SHARE = 0.2


def run(rehearsal: Rehearsal) -> list[Finding]:
    name = rehearsal.plant(fails=_SHARE).release
    rehearsal.begin_shadow()
    seconds = rehearsal.stack.until(
        lambda connection: registry.find(connection, name).state is State.REJECTED,
        f"{name} is turned away",
    )
    moves = rehearsal.moves()
    last, reached = moves[-1], [str(move.to_state) for move in moves]
    seen = last.evidence.get("shadow", {})
    failed = len(rehearsal.calls.failed)
    return [
        Finding(
            "a guardrail ends its shadow",
            f"{last.reason}, after {seconds:.1f} s",
            last.reason.startswith("guardrail in shadow") and last.actor == "controller",
        ),
        Finding("after few calls", f"{seen.get('calls')} copies", seen.get("calls", 0) > 0),
        Finding("nobody met it", " → ".join(reached), State.CANARY not in reached),
        Finding("no call fails", str(rehearsal.calls), failed == 0),
        rehearsal.one_champion(rehearsal.champion),
    ]
