"""The TCP ports of the stack, and whether they are free."""

import socket
from collections.abc import Collection
from dataclasses import dataclass

from loop_platform.settings import Settings
from loop_platform.stack.errors import StackError


@dataclass(frozen=True)
class Port:
    """A port, the program that listens on it and the setting that moves it."""

    host: str
    number: int
    program: str
    setting: str

    @property
    def advice(self) -> str:
        variable = "LOOP_" + self.setting.upper().replace(".", "__")
        return f"set {self.setting} in loop.toml ({variable}) to another port"


def ports(settings: Settings) -> list[Port]:
    first, second = settings.engine.ports
    return [
        Port(settings.host, settings.gateway.port, "gateway", "gateway.port"),
        Port(settings.host, settings.console.port, "console", "console.port"),
        Port(settings.dagster.host, settings.dagster.port, "dagster-webserver", "dagster.port"),
        Port(settings.engine.host, first, "engine-a", "engine.ports"),
        Port(settings.engine.host, second, "engine-b", "engine.ports"),
    ]


def check_ports(settings: Settings, programs: Collection[str]) -> None:
    """Raises `StackError` for the first port of `programs` that cannot be had."""
    owners: dict[int, Port] = {}
    for port in ports(settings):
        if port.program not in programs:
            continue
        if other := owners.get(port.number):
            raise StackError(
                f"port {port.number} is given to the {other.program} and to the {port.program}:"
                f" {port.advice}"
            )
        owners[port.number] = port
        _check(port)


def _check(port: Port) -> None:
    with socket.socket(socket.AF_INET6 if ":" in port.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, port.number))
        except OSError as error:
            raise StackError(
                f"the {port.program} cannot have port {port.number} of {port.host}"
                f" ({error.strerror or error}): free it, or {port.advice}"
            ) from error
