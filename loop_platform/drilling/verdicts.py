"""What several drills find in the same way: that a faulty candidate was never promoted, and who met
it."""

from loop_platform.drilling.judge import RIGHT, WRONG
from loop_platform.drilling.names import IMPROVED, KEPT, mark
from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.engine.faulty import Script
from loop_platform.release.states import State

GONE_WITHIN_S = 1.0

WINS = Script(of=mark(IMPROVED), says=RIGHT)
"""Does what the cycle corrected: without more, such a candidate is promoted."""
HOLDS = Script(of=mark(KEPT), says=RIGHT)


def regression(rehearsal: Rehearsal, share: float) -> list[Finding]:
    """A candidate that wins what its cycle corrected, and does a share of the other task wrong."""
    worse = Script(of=mark(KEPT), says=RIGHT, instead=WRONG, share=share)
    rehearsal.plant(WINS, worse)
    rehearsal.begin_shadow()
    rehearsal.settled()
    return [*unpromoted(rehearsal), unmet(rehearsal)]


def unpromoted(rehearsal: Rehearsal) -> list[Finding]:
    """It never was champion, and was turned away for what it did, or because that was not known."""
    moves = rehearsal.moves()
    way = " → ".join(str(move.to_state) for move in moves)
    alarmed = any(move.evidence.get("alarm") for move in moves)
    never = all(move.to_state is not State.CHAMPION for move in moves) and not alarmed
    return [
        Finding("it is never promoted", f"{way}: {moves[-1].reason}", never),
        Finding("no call fails", str(rehearsal.calls), not rehearsal.calls.failed),
    ]


def ended_in_canary(rehearsal: Rehearsal, front: str, rail: str, said: str = "") -> Finding:
    """What callers met ended it: a guardrail, whose sentence has `rail` in it, or Dagster's look at
    the front, whichever saw it first."""
    last, ending = rehearsal.moves()[-1], rehearsal.ending()
    by = "nothing" if ending is None else ending.by
    guarded = last.reason.startswith("guardrail in canary") and rail in last.reason
    seen = f"{by}{said}: {last.reason}" if guarded else f"{by}{said}"
    lost = by.startswith("lost") and front in by
    return Finding("its canary ends it", seen, guarded or lost)


def unmet(rehearsal: Rehearsal) -> Finding:
    """Nobody got an answer of it."""
    exposure = rehearsal.exposure()
    return Finding("nobody meets it", str(exposure), exposure.calls == 0)


def exposed_little(rehearsal: Rehearsal) -> list[Finding]:
    """Its canary kept to its share, and was over at once when it ended.

    Who is in the canary is drawn by user, so that the share of calls is near the cap: what is asked
    is that it is not shown to be above.
    """
    cap, exposure = rehearsal.settings.gates.canary_share, rehearsal.exposure()
    late = exposure.gone_after_s or 0.0
    return [
        Finding(
            f"no more than {cap:.0%} of the calls reach it",
            str(exposure.canary),
            exposure.canary.low <= cap,
        ),
        Finding(
            f"{GONE_WITHIN_S:g} s after its end nobody reaches it",
            f"the last call was sent to it {late:.2f} s after its end"
            if exposure.gone_after_s is not None
            else "no call was sent to it after its end",
            late <= GONE_WITHIN_S,
        ),
    ]
