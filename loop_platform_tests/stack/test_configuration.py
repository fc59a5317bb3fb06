"""What is written for supervisord."""

import configparser
import shlex
from pathlib import Path

import pytest

from loop_platform.settings import Settings
from loop_platform.stack.configuration import write_configuration
from loop_platform.stack.ports import ports
from loop_platform.stack.programs import Program, environment, programs
from loop_platform.stack.sockets import code_socket, supervisor_socket


def test_postgres_stops_last_and_the_others_together(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    parsed = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    parsed.read(write_configuration(tmp_path, programs(settings)))
    assert "postgres" not in parsed["group:loop"]["programs"]
    assert int(parsed["program:postgres"]["priority"]) < int(parsed["group:loop"]["priority"])


def test_every_program_is_tethered_and_waits_to_be_started(tmp_path: Path) -> None:
    parsed = configparser.RawConfigParser()
    parsed.read(write_configuration(tmp_path, programs(Settings(data_dir=tmp_path))))
    sections = [parsed[name] for name in parsed.sections() if name.startswith("program:")]
    assert len(sections) == 10
    for section in sections:
        assert "tether.py" in section["command"]
        assert section["autostart"] == "false"


def test_arguments_survive_spaces_and_percent_signs(tmp_path: Path) -> None:
    odd = Program("odd", ["echo", "50 %", "a b"], "odd")
    parsed = configparser.RawConfigParser()
    parsed.read(write_configuration(tmp_path, [odd]))
    command = shlex.split(parsed["program:odd"]["command"].replace("%%", "%"))
    assert command[-3:] == odd.command


def test_a_command_that_the_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot stand in supervisord's configuration"):
        write_configuration(tmp_path, [Program("odd", ["echo", "a ;b"], "odd")])


def test_what_asks_for_no_key_stays_on_this_machine(tmp_path: Path) -> None:
    """Dagster's UI and the engines, whatever address the gateway and the console have."""
    settings = Settings(data_dir=tmp_path, host="0.0.0.0")
    assert [program.name for program in programs(settings) if "0.0.0.0" in program.command] == []
    assert {port.program: port.host for port in ports(settings)} == {
        "gateway": "0.0.0.0",
        "console": "0.0.0.0",
        "dagster-webserver": "127.0.0.1",
        "engine-a": "127.0.0.1",
        "engine-b": "127.0.0.1",
    }


def test_an_external_database_has_a_schema_for_dagster_and_no_server_here(tmp_path: Path) -> None:
    url = "postgresql+psycopg2://loop@db.example/loop"
    settings = Settings(data_dir=tmp_path, database_url=url)
    assert "postgres" not in [program.name for program in programs(settings)]
    theirs = environment(settings)["DAGSTER_POSTGRES_URL"]
    assert theirs == "postgresql://loop@db.example/loop?options=-csearch_path%3Ddagster"


def test_sockets_fit_into_an_address_however_deep_the_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    for socket in (supervisor_socket(deep), code_socket(deep)):
        assert len(str(socket)) < 107
    assert supervisor_socket(deep) != supervisor_socket(deep / "other")
