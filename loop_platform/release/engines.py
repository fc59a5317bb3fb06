"""The engines as the controller knows them: programs that a supervisor runs."""

from typing import Protocol

from loop_platform.stack.supervision import ProgramState


class Engines(Protocol):
    """Starts and stops programs; loop_platform.stack.supervision.Supervisor is one."""

    def start(self, program: str) -> None:
        """Start, unless it runs; does not wait for it to be ready."""
        ...

    def stop(self, program: str) -> None:
        """Stop, unless it does not run, and wait until it has ended."""
        ...

    def state(self, program: str) -> ProgramState: ...
