"""A candidate that wins what was corrected, and fails on 2 % of its calls.

That is what `gates.max_error_share` allows by default, so no guardrail can be sure that it is too
much. Its shadow has to end with reliability lost, or not known: to pass, a candidate has to show
that it fails less often than the margin says.
"""

from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.drilling.verdicts import HOLDS, WINS, unmet, unpromoted

_SHARE = 0.02


def run(rehearsal: Rehearsal) -> list[Finding]:
    rehearsal.plant(WINS, HOLDS, fails=_SHARE)
    rehearsal.begin_shadow()
    rehearsal.settled()
    return [*unpromoted(rehearsal), unmet(rehearsal)]
