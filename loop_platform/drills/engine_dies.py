"""An engine that dies while its release is promoted.

The promotion waits for the engine, or a guardrail of the canary turns the candidate away, or the
flip was made before it died; then the new champion comes back, or is taken back by its watch. In
that last case calls fail for as long as an engine takes to start, or a guardrail to see it; how
many is reported.
"""

import os
import signal

import sqlalchemy as sa

from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.release import slots
from loop_platform.release.states import State
from loop_platform.stack.errors import StackError
from loop_platform.stack.programs import ENGINES
from loop_platform.stack.sockets import supervisor_socket
from loop_platform.stack.supervision import Supervisor


def run(rehearsal: Rehearsal) -> list[Finding]:
    copy = rehearsal.copy().release
    supervisor = Supervisor(supervisor_socket(rehearsal.settings.data_dir))
    program = ENGINES[rehearsal.ask(lambda connection: _slot(connection, copy))]
    died = supervisor.status(program).pid
    if died is None:
        raise StackError(f"{program} does not run: there is nothing to kill")
    request = rehearsal.request(State.CHAMPION)
    os.kill(died, signal.SIGKILL)
    outcome = rehearsal.outcome(request)
    one = rehearsal.one_champion(rehearsal.champion, copy)
    back = supervisor.status(program).pid
    return [
        Finding("the engine died", f"process {died} of {program} is gone", back != died),
        Finding(
            "the promotion is made or refused",
            outcome.refusal or "made",
            outcome.handled,
        ),
        one,
    ]


def _slot(connection: sa.Connection, release: str) -> str:
    slot = slots.serving(connection, release)
    if slot is None:
        raise StackError(f"no engine serves {release}")
    return slot.slot
