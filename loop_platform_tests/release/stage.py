"""What the tests of the controller play on: programs, releases, and a controller to step."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from loop_platform.database import cycles
from loop_platform.release import registry
from loop_platform.release.controller import Controller
from loop_platform.release.registry import Release
from loop_platform.settings import Settings
from loop_platform.stack.programs import ENGINES, assignment
from loop_platform.stack.supervision import ProgramState

T = TypeVar("T")

_SLOTS = {program: slot for slot, program in ENGINES.items()}


class LocalEngines:
    """Runs tiny engines as child processes, as a supervisor would."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.starts: list[str] = []

    def start(self, program: str) -> None:
        if self.state(program).alive:
            return
        file = assignment(self._settings, _SLOTS[program])
        command = [sys.executable, "-m", "loop_platform_tests.release.tiny_engine"]
        self._running[program] = subprocess.Popen([*command, "--assignment", str(file)])
        self.starts.append(program)

    def stop(self, program: str) -> None:
        if program in self._running:
            engine = self._running.pop(program)
            engine.kill()
            engine.wait()

    def state(self, program: str) -> ProgramState:
        engine = self._running.get(program)
        if engine is None or engine.poll() is not None:
            return ProgramState.STOPPED
        return ProgramState.RUNNING

    def stop_all(self) -> None:
        for program in list(self._running):
            self.stop(program)


class Stage:
    """A loop without its gateway: settings, a database, engines, a controller."""

    def __init__(self, settings: Settings, database: sa.Engine) -> None:
        self.settings = settings
        self.database = database
        self.engines = LocalEngines(settings)
        self.controller = Controller(settings, self.engines, probe_s=0.1)

    def close(self) -> None:
        self.controller.close()
        self.engines.stop_all()

    def succeed(self) -> None:
        """Another controller leads. The database lets go of a lock a moment after its holder is
        gone."""
        self.controller.close()
        self.controller = Controller(self.settings, self.engines, probe_s=0.1)
        deadline = time.monotonic() + 20
        while not self.controller.lead():
            assert time.monotonic() < deadline, "the one before leads still"
            time.sleep(0.02)

    def until(self, holds: Callable[[sa.Connection], object], timeout_s: float = 20.0) -> None:
        """Step the controller until something holds."""
        deadline = time.monotonic() + timeout_s
        while not self.ask(holds):
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {self.picture()}"
            self.controller.lead()
            time.sleep(0.05)

    def step(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            assert self.controller.lead()

    def ask(self, question: Callable[[sa.Connection], T]) -> T:
        with self.database.begin() as connection:
            return question(connection)

    def release(self, name: str) -> Release:
        return self.ask(lambda connection: registry.find(connection, name))

    def register(self, digest: str, *, drill: bool = False) -> str:
        """A candidate of a cycle of its own."""
        folder = weights(self.settings.data_dir / "weights" / digest, {"*": f"I am {digest}"})
        with self.database.begin() as connection:
            connection.execute(
                sa.insert(cycles).values(
                    cycle=f"of-{digest}", kind="drill" if drill else "improvement", reason="test"
                )
            )
            champion = registry.champion(connection)
            return registry.register(
                connection,
                cycle=f"of-{digest}",
                parent=None if champion is None else champion.release,
                adapter=digest,
                adapter_path=folder,
                weights_path=folder,
                drill=drill,
                record={"recipe": "test"},
            )

    def picture(self) -> str:
        """For failures: what the tables say."""
        tables = ("releases", "routes", "engine_slots", "move_requests")
        with self.database.connect() as connection:
            rows = {
                name: [dict(row) for row in connection.execute(sa.text(f"TABLE {name}")).mappings()]
                for name in tables
            }
        return json.dumps(rows, default=str, indent=1)


def weights(folder: Path, answers: Mapping[str, str]) -> Path:
    """A folder that passes for a model's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(folder.name.encode())
    (folder / "answers.json").write_text(json.dumps(dict(answers)))
    return folder


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
