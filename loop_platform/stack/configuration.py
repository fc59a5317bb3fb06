"""supervisord's configuration, written from the programs."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from loop_platform.stack.programs import FIRST, Program
from loop_platform.stack.sockets import supervisor_socket
from loop_platform.stack.tether import tethered

GROUP = "loop"
"""The programs that stop together; the first has a group of its own, which stops last."""


def log_folder(data_dir: Path) -> Path:
    return data_dir / "logs"


def log_file(data_dir: Path, program: str) -> Path:
    return log_folder(data_dir) / f"{program}.log"


def group_file(data_dir: Path, program: str) -> Path:
    """Remembers the program's process group."""
    return data_dir / "run" / f"{program}.group"


def write_configuration(data_dir: Path, programs: Sequence[Program]) -> Path:
    """Writes `run/supervisord.conf` and says where."""
    path = data_dir / "run" / "supervisord.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    log_folder(data_dir).mkdir(parents=True, exist_ok=True)
    grouped = [program.name for program in programs if program.name != FIRST]
    sections = [_supervisord(data_dir), _group(grouped)]
    sections += [_program(data_dir, program) for program in programs]
    path.write_text("\n\n".join(sections) + "\n")
    return path


def _supervisord(data_dir: Path) -> str:
    user = "user = root\n" if os.geteuid() == 0 else ""
    return f"""[unix_http_server]
file = {_text(supervisor_socket(data_dir))}
chmod = 0700

[supervisord]
nodaemon = true
silent = true
logfile = {_text(log_file(data_dir, "supervisord"))}
logfile_maxbytes = 10MB
logfile_backups = 1
pidfile = {_text(data_dir / "run" / "supervisord.pid")}
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface"""


def _group(names: Sequence[str]) -> str:
    return f"[group:{GROUP}]\nprograms = {','.join(names)}\npriority = 900" if names else ""


def _program(data_dir: Path, program: Program) -> str:
    command = tethered(
        program.command,
        signal=program.stop_signal,
        user=program.user,
        # PostgreSQL's processes end with their postmaster, and that is never to be cut short.
        group=None if program.name == FIRST else group_file(data_dir, program.name),
    )
    return f"""[program:{program.name}]
command = {_text(shlex.join(command))}
directory = {_text(program.directory)}
priority = {1 if program.name == FIRST else 100}
autostart = false
autorestart = true
startsecs = 5
startretries = 60
stopsignal = {program.stop_signal}
stopwaitsecs = {program.stop_seconds}
stopasgroup = {"false" if program.name == FIRST else "true"}
killasgroup = true
redirect_stderr = true
stdout_logfile = {_text(log_file(data_dir, program.name))}
stdout_logfile_maxbytes = 20MB
stdout_logfile_backups = 1"""


def _text(value: Path | str) -> str:
    """As it must stand in the file, where `%` starts an expansion and ` ;` a comment."""
    text = str(value)
    if " ;" in text or "\n" in text:
        raise ValueError(f"{text!r} cannot stand in supervisord's configuration: rename the folder")
    return text.replace("%", "%%")
