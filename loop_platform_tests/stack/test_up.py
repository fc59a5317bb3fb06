"""`loop up` as a user runs it: a real process, with PostgreSQL, the gateway and the console."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from loop_platform.stack.sockets import supervisor_socket
from loop_platform.stack.supervision import Supervisor
from loop_platform_tests.stack.free_ports import free_ports
from loop_platform_tests.stack.waiting import lives, wait_for

LOOP = [str(Path(sys.executable).with_name("loop"))]
FEW = ["--only", "postgres", "--only", "gateway", "--only", "console"]


@dataclass
class Up:
    """`loop up` on a folder and ports of its own."""

    folder: Path
    ports: list[int] = field(default_factory=lambda: free_ports(5))
    process: subprocess.Popen[bytes] | None = None
    family: list[psutil.Process] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        gateway, console, dagster, a, b = self.ports
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("LOOP_")},
            "LOOP_DATA_DIR": str(self.folder / "data"),
            "LOOP_GATEWAY__PORT": str(gateway),
            "LOOP_CONSOLE__PORT": str(console),
            "LOOP_DAGSTER__PORT": str(dagster),
            "LOOP_ENGINE__PORTS": f"[{a},{b}]",
            "LOOP_ENGINE__PYTHON": sys.executable,
        }

    @property
    def output(self) -> str:
        return (self.folder / "up.txt").read_text()

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(supervisor_socket(self.folder / "data"))

    def start(self) -> None:
        with (self.folder / "up.txt").open("wb") as output:
            self.process = subprocess.Popen(
                [*LOOP, "up", *FEW],
                env=self.environment,
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: self.ended or "until Ctrl-C" in self.output, 60)
        assert not self.ended, self.output
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LOOP, *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path)
    yield up
    if up.process is not None and not up.ended:
        up.process.terminate()
        up.process.wait(timeout=40)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack that several tests look at and that none ends."""
    up = Up(tmp_path_factory.mktemp("running"))
    up.start()
    assert up.process is not None
    yield up
    up.process.terminate()
    up.process.wait(timeout=40)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_everything_and_leaves_no_orphan(stack: Up, ending: signal.Signals) -> None:
    stack.start()
    assert stack.process is not None
    assert len(stack.family) >= 4  # supervisord, PostgreSQL, the gateway, the console
    stack.process.send_signal(ending)
    assert stack.process.wait(timeout=20) == 0, stack.output
    assert not any(lives(member) for member in stack.family)
    assert "everything stopped" in stack.output


def test_a_killed_loop_up_leaves_no_orphan_and_starts_again(stack: Up) -> None:
    stack.start()
    assert stack.process is not None
    family = stack.family
    stack.process.kill()
    stack.process.wait()
    stack.start()  # at once: it waits for what is still ending
    assert not any(lives(member) for member in family)


def test_what_dies_is_started_again_and_its_log_is_shown(running: Up) -> None:
    before = running.supervisor.status("gateway").pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: answers(running.ports[0], "/healthz"), 30)
    assert running.supervisor.status("gateway").pid != before
    wait_for(lambda: "gateway ended (terminated by SIGKILL) and is started again" in running.output)
    assert "gateway.log" in running.output


def test_the_first_start_makes_a_key_that_only_its_owner_reads(running: Up) -> None:
    key = running.folder / "data" / "admin.key"
    assert key.stat().st_mode & 0o777 == 0o600
    listed = running.run("keys", "list").stdout
    assert key.read_text().split("_")[1] in listed
    assert "admin" in listed


def test_a_second_stack_on_the_same_folder_is_refused(running: Up) -> None:
    second = running.run("up", *FEW)
    assert second.returncode == 1
    assert "already runs on" in second.stderr
    assert not running.ended


def test_a_taken_port_is_named_with_the_setting_that_moves_it(stack: Up) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = stack.run("up", *FEW, LOOP_CONSOLE__PORT=str(port))
    assert refused.returncode == 1
    assert f"the console cannot have port {port}" in refused.stderr
    assert "console.port" in refused.stderr


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("LOOP_GATEWAY__PORT", "many", "gateway.port: Input should be a valid integer"),
        ("LOOP_SETTINGS", "missing.toml", "there is no such file"),
        ("LOOP_DATA_DIR", "/dev/null/loop", "cannot be written"),
        ("LOOP_ENGINE__PYTHON", "/missing/python", "make .venv-engine"),
        ("LOOP_MODELS__BASE", "packaged:gpt-17", "no packaged model 'gpt-17'"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_a_failure(
    stack: Up, variable: str, value: str, says: str
) -> None:
    refused = stack.run("up", **{variable: value})
    assert refused.returncode == 1
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_database_that_does_not_answer_is_named_without_its_password(stack: Up) -> None:
    (port,) = free_ports(1)
    url = f"postgresql://loop:secret@127.0.0.1:{port}/loop"
    refused = stack.run("up", "--only", "gateway", LOOP_DATABASE_URL=url)
    assert refused.returncode == 1
    assert f"127.0.0.1:{port}/loop cannot be used" in refused.stderr
    assert "secret" not in refused.stderr


def test_an_unknown_setting_in_the_file_is_named(stack: Up) -> None:
    (stack.folder / "loop.toml").write_text("[gateway]\nprot = 8700\n")
    refused = stack.run("status")
    assert refused.returncode == 1
    assert "gateway.prot" in refused.stderr


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
