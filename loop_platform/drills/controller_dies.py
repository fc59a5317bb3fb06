"""A release controller that is killed, again and again, while it promotes and takes back.

A candidate is promoted, taken back, promoted again, for as long as the drill may take or until the
controller was killed fifty times: each time at a random moment between the request and where the
last such move had ended. Its supervisor starts it again, and the move has to be made after all,
once. No caller is to notice.
"""

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass, field

from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.drilling.watcher import Watcher
from loop_platform.release.states import State
from loop_platform.stack.errors import StackError
from loop_platform.stack.sockets import supervisor_socket
from loop_platform.stack.supervision import Supervisor

_KILLS = 50
_MOVES = (State.CHAMPION, State.ROLLED_BACK)
_CONTROLLER = "controller"
_FIRST_TOOK_S = 2.0
_PATIENCE_S = 90.0


@dataclass
class _Kills:
    """The moves that were asked for, and what became of them."""

    rehearsal: Rehearsal
    supervisor: Supervisor
    chance: random.Random = field(default_factory=lambda: random.Random(17))
    took_s: dict[State, float] = field(default_factory=dict)
    asked: dict[State, int] = field(default_factory=lambda: dict.fromkeys(_MOVES, 0))
    refused: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    @property
    def made(self) -> int:
        return sum(self.asked.values())

    def kill(self, state: State) -> None:
        """Ask for a move, kill the controller at some moment of it, and wait until it is made."""
        began = time.monotonic()
        request = self.rehearsal.request(state)
        time.sleep(self.chance.uniform(0, self.took_s.get(state, _FIRST_TOOK_S)))
        self._kill()
        outcome = self.rehearsal.outcome(request)
        self.took_s[state] = min(time.monotonic() - began, _PATIENCE_S)
        self.asked[state] += 1
        if outcome.refusal is not None:
            self.refused.append(f"{state}: {outcome.refusal}")

    def _kill(self) -> None:
        """The controller that runs now, or the next one where none does."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            pid = self.supervisor.status(_CONTROLLER).pid
            with contextlib.suppress(ProcessLookupError):  # it was gone already
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    return
            time.sleep(0.1)
        raise StackError(f"the controller is not started again within {_PATIENCE_S:g} s")


def run(rehearsal: Rehearsal) -> list[Finding]:
    copy = rehearsal.copy().release
    kills = _Kills(rehearsal, Supervisor(supervisor_socket(rehearsal.settings.data_dir)))
    deadline = time.monotonic() + rehearsal.minutes * 60
    serving = {State.CHAMPION: copy, State.ROLLED_BACK: rehearsal.champion}
    with Watcher(rehearsal.stack) as watcher:
        while kills.made < _KILLS and time.monotonic() < deadline:
            for state in _MOVES:
                kills.kill(state)
                one = rehearsal.one_champion(serving[state])
                if not one.holds:
                    kills.unanswered.append(one.found)
    lines = [move.to_state for move in rehearsal.moves()]
    entered = {state: lines.count(state) for state in _MOVES}
    return [
        Finding(
            "every move is made after all",
            "; ".join(kills.refused) or f"{kills.made} kills, {kills.made} moves",
            not kills.refused,
        ),
        Finding(
            "and made once",
            f"{sum(entered.values())} lines in the audit log",
            entered == kills.asked,
        ),
        Finding(
            "there is always one champion, and it is routed",
            "; ".join(watcher.faults[:3]) or f"{watcher.looks} looks",
            not watcher.faults,
        ),
        Finding(
            "after each move callers get its champion",
            "; ".join(kills.unanswered[:3]) or f"{kills.made} times",
            not kills.unanswered,
        ),
        Finding("no call fails", str(rehearsal.calls), not rehearsal.calls.failed),
    ]
