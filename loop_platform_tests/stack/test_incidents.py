"""What `loop up` says of deaths, from lines as supervisord writes them."""

from pathlib import Path

import pytest

from loop_platform.stack.configuration import log_file
from loop_platform.stack.incidents import Incidents, tail

AT = "2026-11-23 12:00:00,000"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


def write(data_dir: Path, *lines: str) -> None:
    with log_file(data_dir, "supervisord").open("a") as log:
        log.writelines(f"{AT} {line}\n" for line in lines)


def test_a_death_is_told_with_the_end_of_the_log(data_dir: Path) -> None:
    incidents = Incidents(data_dir)
    log_file(data_dir, "gateway").write_text("\n".join(f"line {n}" for n in range(30)))
    write(data_dir, "WARN exited: gateway (exit status 3; not expected)")
    (incident,) = incidents.new()
    told = str(incident)
    assert "gateway ended (exit status 3) and is started again" in told
    assert told.endswith("    line 29")
    assert "line 17" not in told
    assert incidents.deaths["gateway"] == 1


def test_what_was_asked_for_is_no_incident(data_dir: Path) -> None:
    incidents = Incidents(data_dir)
    write(
        data_dir,
        "INFO spawned: 'engine-a' with pid 17",
        "WARN stopped: engine-a (terminated by SIGTERM)",
    )
    assert list(incidents.new()) == []


def test_each_death_is_told_once_and_half_a_line_waits(data_dir: Path) -> None:
    incidents = Incidents(data_dir)
    with log_file(data_dir, "supervisord").open("a") as log:
        log.write(f"{AT} WARN exited: console (term")
    assert list(incidents.new()) == []
    with log_file(data_dir, "supervisord").open("a") as log:
        log.write("inated by SIGKILL; not expected)\n")
    assert [incident.program for incident in incidents.new()] == ["console"]
    assert list(incidents.new()) == []


def test_deaths_before_the_start_are_history(data_dir: Path) -> None:
    write(data_dir, "WARN exited: gateway (exit status 3; not expected)")
    assert list(Incidents(data_dir).new()) == []


def test_a_program_that_is_given_up_is_told(data_dir: Path) -> None:
    incidents = Incidents(data_dir)
    write(
        data_dir, "INFO gave up: engine-a entered FATAL state, too many start retries too quickly"
    )
    (incident,) = incidents.new()
    assert str(incident).startswith("engine-a keeps dying. The end of ")


def test_the_end_of_a_log_that_is_not_there_is_empty(data_dir: Path) -> None:
    assert tail(log_file(data_dir, "gateway")) == ""
