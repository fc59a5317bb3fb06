"""A typed client of supervisord's XML-RPC, over its unix socket.

    start("engine-a"); state("engine-a"); restart("engine-a"); stop("engine-a")

These speak with the supervisor of this process's data folder; `Supervisor` with any.
"""

import http.client
import socket
import xmlrpc.client
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from loop_platform.settings import settings
from loop_platform.stack.configuration import GROUP
from loop_platform.stack.programs import FIRST
from loop_platform.stack.sockets import supervisor_socket

_TIMEOUT_S = 30.0
_BAD_NAME, _ALREADY_STARTED, _NOT_RUNNING = 10, 60, 70


class SupervisorError(RuntimeError):
    """No supervisor answers, or it cannot do what was asked."""


class ProgramState(StrEnum):
    """As supervisord names them (http://supervisord.org/subprocess.html#process-states)."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    """Less than five seconds old."""
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    """Died young; it is tried again after a pause."""
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    """Died young too often: it is not tried again until someone starts it."""
    UNKNOWN = "UNKNOWN"

    @property
    def alive(self) -> bool:
        return self in (ProgramState.STARTING, ProgramState.RUNNING)


@dataclass(frozen=True)
class ProgramStatus:
    """How a program is."""

    name: str
    state: ProgramState
    pid: int | None
    started_at: float | None
    """Seconds since the epoch."""
    error: str | None


class Supervisor:
    """The supervisord that listens on `address`."""

    def __init__(self, address: Path) -> None:
        self._address = address

    def start(self, program: str) -> None:
        """Start a program, unless it runs; does not wait for it to be ready."""
        self._ask("startProcess", _qualified(program), False, tolerated=_ALREADY_STARTED)

    def stop(self, program: str) -> None:
        """Stop a program, unless it does not run, and wait until it has ended."""
        self._ask("stopProcess", _qualified(program), True, tolerated=_NOT_RUNNING)

    def restart(self, program: str) -> None:
        self.stop(program)
        self.start(program)

    def state(self, program: str) -> ProgramState:
        return self.status(program).state

    def status(self, program: str) -> ProgramStatus:
        return _status(self._ask("getProcessInfo", _qualified(program)))

    def statuses(self) -> list[ProgramStatus]:
        """Every program's, in no particular order."""
        return [_status(info) for info in cast(list[object], self._ask("getAllProcessInfo"))]

    def _ask(self, method: str, *arguments: object, tolerated: int | None = None) -> object:
        """Call `supervisor.<method>`; the fault `tolerated` is no error."""
        try:
            with xmlrpc.client.ServerProxy("http://local", _Transport(self._address)) as server:
                return cast(object, getattr(server.supervisor, method)(*arguments))
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != tolerated:
                raise SupervisorError(_explained(fault)) from fault
            return None
        except (OSError, http.client.HTTPException) as error:
            raise SupervisorError(
                f"no supervisor answers at {self._address}: is `loop up` running? ({error})"
            ) from error


def supervisor() -> Supervisor:
    """The one of this process's data folder."""
    return Supervisor(supervisor_socket(settings().data_dir))


def start(program: str) -> None:
    supervisor().start(program)


def stop(program: str) -> None:
    supervisor().stop(program)


def restart(program: str) -> None:
    supervisor().restart(program)


def state(program: str) -> ProgramState:
    return supervisor().state(program)


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._address))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, address: Path) -> None:
        super().__init__()
        self._address = address

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        return _Connection(self._address)


def _qualified(program: str) -> str:
    return f"{FIRST if program == FIRST else GROUP}:{program}"


def _status(info: object) -> ProgramStatus:
    fields = cast(dict[str, Any], info)
    return ProgramStatus(
        name=fields["name"],
        state=ProgramState(fields["statename"]),
        pid=fields["pid"] or None,
        started_at=float(fields["start"]) or None,
        error=fields["spawnerr"] or None,
    )


def _explained(fault: xmlrpc.client.Fault) -> str:
    if fault.faultCode == _BAD_NAME:
        return f"the stack has no such program ({fault.faultString})"
    return f"supervisord refused: {fault.faultString}"
