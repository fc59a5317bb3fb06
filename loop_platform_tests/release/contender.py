"""A controller in a process of its own, to be killed.

python -m loop_platform_tests.release.contender <settings as JSON>
"""

import sys
import threading

from loop_platform.release.controller import Controller
from loop_platform.settings import Settings
from loop_platform.stack.supervision import ProgramState


class NoEngines:
    """Engines that somebody else started already."""

    def start(self, program: str) -> None:
        pass

    def stop(self, program: str) -> None:
        pass

    def state(self, program: str) -> ProgramState:
        return ProgramState.RUNNING


if __name__ == "__main__":
    Controller(Settings.model_validate_json(sys.argv[1]), NoEngines()).run(threading.Event())
