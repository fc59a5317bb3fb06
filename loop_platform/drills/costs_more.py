"""A candidate that wins what was corrected, and takes four times the tokens for all else.

The cost front of its shadow has to be lost.
"""

from loop_platform.drilling.judge import RIGHT
from loop_platform.drilling.names import KEPT, mark
from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.drilling.verdicts import WINS, unmet, unpromoted
from loop_platform.engine.faulty import Script

# The champion takes one token.
_LONG = " ".join([RIGHT] * 4)


def run(rehearsal: Rehearsal) -> list[Finding]:
    rehearsal.plant(WINS, Script(of=mark(KEPT), says=_LONG))
    rehearsal.begin_shadow()
    rehearsal.settled()
    ending = rehearsal.ending()
    by = "nothing" if ending is None else ending.by
    return [
        *unpromoted(rehearsal),
        Finding("its cost is what ends it", by, by.startswith("lost") and "cost" in by),
        unmet(rehearsal),
    ]
