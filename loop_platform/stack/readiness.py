"""Whether a program is ready, and waiting until it is: a program that keeps dying ends the wait."""

import http.client
import socket
import time
from collections.abc import Callable
from pathlib import Path

from loop_platform.settings import Settings
from loop_platform.stack import postgres
from loop_platform.stack.errors import StackError
from loop_platform.stack.incidents import Incidents, tail
from loop_platform.stack.sockets import code_socket
from loop_platform.stack.supervision import ProgramState, Supervisor

Probe = Callable[[], bool]
_DEATHS_THAT_ARE_ENOUGH = 3
_PROBE_TIMEOUT_S = 5.0


class Readiness:
    """The probes of one stack."""

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self._settings = settings
        self._supervisor = supervisor

    def probe(self, program: str) -> Probe:
        """What has to come true before the programs after `program` are started."""
        settings = self._settings
        by_name: dict[str, Probe] = {
            "postgres": lambda: postgres_answers(settings.data_dir),
            "gateway": lambda: http_answers(settings.host, settings.gateway.port, "/healthz"),
            "console": lambda: http_answers(settings.host, settings.console.port, "/"),
            "code-location": lambda: listens(code_socket(settings.data_dir)),
            "dagster-webserver": lambda: http_answers(
                settings.dagster.host, settings.dagster.port, "/server_info"
            ),
        }
        return by_name.get(program, lambda: self._has_lasted(program))

    def _has_lasted(self, program: str) -> bool:
        """supervisord calls a program RUNNING when it has lived for five seconds."""
        return self._supervisor.state(program) is ProgramState.RUNNING


def postgres_answers(data_dir: Path) -> bool:
    try:
        postgres.create_databases(data_dir, timeout_s=0)
    except postgres.PostgresError:
        return False
    return True


def listens(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


def http_answers(host: str, port: int, path: str) -> bool:
    """Whether a GET is answered by anything that is no server error."""
    connection = http.client.HTTPConnection(host, port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_until(
    ready: Probe,
    what: str,
    *,
    timeout_s: float,
    incidents: Incidents,
    tell: Callable[[str], None],
    log: Path,
) -> None:
    """Wait until `ready`, telling of what dies meanwhile.

    Raises:
        StackError: a program died three times since the stack began, or the time ran out.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        for incident in incidents.new():
            tell(str(incident))
            if incidents.deaths[incident.program] >= _DEATHS_THAT_ARE_ENOUGH:
                raise StackError(f"{incident.program} does not stay up: see {incident.log}")
        if time.monotonic() > deadline:
            raise StackError(
                f"{what} was not ready within {timeout_s:g} s; the end of {log}:\n{tail(log)}"
            )
        time.sleep(0.2)
