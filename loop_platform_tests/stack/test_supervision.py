"""The typed client, against a real supervisord that runs real (small) programs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from loop_platform.stack.configuration import log_file, write_configuration
from loop_platform.stack.programs import Program
from loop_platform.stack.sockets import make_folder, supervisor_socket
from loop_platform.stack.supervision import ProgramState, Supervisor, SupervisorError
from loop_platform.stack.tether import tethered
from loop_platform_tests.stack.waiting import lives, wait_for

# A parent with a child of its own, as gateways, code servers and engines are.
FAMILY = "import subprocess as s; c = s.Popen(['sleep', '600']); print('up', flush=True); c.wait()"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    programs = [
        Program("gateway", [sys.executable, "-c", FAMILY], "gateway"),
        Program("engine-a", [sys.executable, "-c", "raise SystemExit('no weights: 100 %')"], "a"),
    ]
    configuration = write_configuration(tmp_path, programs)
    make_folder(tmp_path)
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
    process = subprocess.Popen(tethered(command), start_new_session=True)
    wait_for(lambda: supervisor_socket(tmp_path).exists())
    yield process
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture
def supervisor(daemon: subprocess.Popen[bytes], tmp_path: Path) -> Supervisor:
    return Supervisor(supervisor_socket(tmp_path))


def test_a_program_starts_and_stops(supervisor: Supervisor) -> None:
    assert supervisor.state("gateway") is ProgramState.STOPPED
    supervisor.start("gateway")
    assert supervisor.state("gateway").alive
    supervisor.stop("gateway")
    assert supervisor.state("gateway") is ProgramState.STOPPED


def test_starting_what_runs_and_stopping_what_does_not_are_no_errors(
    supervisor: Supervisor,
) -> None:
    supervisor.start("gateway")
    supervisor.start("gateway")
    supervisor.stop("gateway")
    supervisor.stop("gateway")


def test_a_restart_gives_a_new_process(supervisor: Supervisor) -> None:
    supervisor.start("gateway")
    before = supervisor.status("gateway").pid
    supervisor.restart("gateway")
    after = supervisor.status("gateway").pid
    assert before is not None
    assert after is not None
    assert after != before
    assert not psutil.pid_exists(before)


def test_a_program_that_dies_young_is_tried_again_after_a_pause(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start("engine-a")
    wait_for(lambda: supervisor.state("engine-a") is ProgramState.BACKOFF)
    assert "no weights: 100 %" in log_file(tmp_path, "engine-a").read_text()
    assert {status.name for status in supervisor.statuses()} == {"gateway", "engine-a"}


def test_an_unknown_program_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(SupervisorError, match=r"no such program .*loop:router"):
        supervisor.start("router")


def test_without_a_supervisor_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match="is `loop up` running"):
        Supervisor(tmp_path / "supervisor.sock").state("gateway")


def test_no_process_survives_the_supervisor(
    daemon: subprocess.Popen[bytes], supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start("gateway")
    wait_for(lambda: "up" in log_file(tmp_path, "gateway").read_text())
    family = psutil.Process(daemon.pid).children(recursive=True)
    assert len(family) == 2
    daemon.terminate()
    daemon.wait(timeout=20)
    assert not any(lives(member) for member in family)


def test_a_killed_program_comes_back_and_its_orphans_are_gone(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start("gateway")
    wait_for(lambda: "up" in log_file(tmp_path, "gateway").read_text())
    before = psutil.Process(supervisor.status("gateway").pid)
    (orphan,) = before.children()
    before.kill()
    wait_for(lambda: supervisor.status("gateway").pid not in (None, before.pid))
    wait_for(lambda: not lives(orphan))


def test_a_program_dies_with_a_killed_supervisor(
    daemon: subprocess.Popen[bytes], supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start("gateway")
    wait_for(lambda: "up" in log_file(tmp_path, "gateway").read_text())
    program = psutil.Process(supervisor.status("gateway").pid)
    daemon.kill()
    daemon.wait(timeout=5)
    wait_for(lambda: not lives(program))
