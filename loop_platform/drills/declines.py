"""A candidate that declines to answer.

Its shadow is concluded by the drill: validators would end it there. In its canary its refusals have
to end it. Only callers of the drill meet it.
"""

from loop_platform.drilling.names import TASKS, mark
from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.drilling.verdicts import ended_in_canary, exposed_little, unpromoted
from loop_platform.engine.faulty import Script

_DECLINES = "I'm sorry, I can't help with that."


def run(rehearsal: Rehearsal) -> list[Finding]:
    rehearsal.plant(
        *(Script(of=mark(task), says=_DECLINES) for task in TASKS), stopped_at_canary=False
    )
    rehearsal.begin_shadow()
    rehearsal.begin_canary()
    rehearsal.settled()
    return [
        *unpromoted(rehearsal),
        ended_in_canary(rehearsal, "safety", "declined"),
        *exposed_little(rehearsal),
    ]
