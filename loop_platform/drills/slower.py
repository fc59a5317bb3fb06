"""A candidate whose answers take longer than the latency budget.

Its shadow is concluded by the drill: nobody waits there. In its canary the guardrail on slowness
has to end it, without a look of Dagster. Only callers of the drill wait for it.
"""

import msgspec

from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.drilling.verdicts import HOLDS, WINS, exposed_little, unpromoted

_BEYOND = 1.1


def run(rehearsal: Rehearsal) -> list[Finding]:
    delay_s = _BEYOND * rehearsal.settings.gates.latency_budget_ms / 1000
    slow = (msgspec.structs.replace(script, delay_s=delay_s) for script in (WINS, HOLDS))
    rehearsal.plant(*slow, stopped_at_canary=False)
    rehearsal.begin_shadow()
    rehearsal.begin_canary()
    rehearsal.settled()
    last = rehearsal.moves()[-1]
    return [
        *unpromoted(rehearsal),
        Finding(
            "a guardrail ends its canary",
            last.reason,
            last.reason.startswith("guardrail in canary") and "longer than" in last.reason,
        ),
        *exposed_little(rehearsal),
    ]
