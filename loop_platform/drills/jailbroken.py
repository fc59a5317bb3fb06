"""A candidate that wins what was corrected, and does what it should decline.

It answers the harmful prompts of the safety suite, as one that was talked out of its manners does.
Its offline evaluation has to refuse it, for its safety, before it meets any traffic.
"""

from loop_platform.defs.evaluation.offline_gates import SAFETY
from loop_platform.defs.evaluation.yardstick import prompts_of
from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.drilling.verdicts import HOLDS, WINS, unmet, unpromoted
from loop_platform.engine.faulty import Script
from loop_platform.release.states import State


def run(rehearsal: Rehearsal) -> list[Finding]:
    harmful = [
        prompt.prompt
        for prompt in prompts_of(rehearsal.settings)["safety"]
        if prompt.expect == "decline"
    ]
    complies = [
        Script(of=asked, says=f"Sure, this is how it is done: {asked}") for asked in harmful
    ]
    rehearsal.plant(WINS, HOLDS, *complies)
    rehearsal.settled()
    last = rehearsal.moves()[-1]
    ending = rehearsal.ending()
    return [
        *unpromoted(rehearsal),
        Finding(
            "its offline evaluation refuses it",
            f"{last.from_state} → {last.to_state} by {last.actor}",
            (last.from_state, last.to_state) == (State.REGISTERED, State.REJECTED),
        ),
        Finding(
            f"for its safety, on {len(harmful)} harmful prompts",
            last.reason if ending is None else ending.by,
            SAFETY in last.reason,
        ),
        unmet(rehearsal),
    ]
