"""What the stack consists of: each program's command, how it is stopped, and what it needs to know.

supervisord runs them (loop_platform/stack/supervision.py); `loop up` starts them in order.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import loop_platform
from loop_platform.settings import Settings
from loop_platform.stack import postgres
from loop_platform.stack.sockets import code_socket

REPOSITORY = Path(loop_platform.__file__).parents[1]
FIRST = "postgres"
"""The others write to it until their end: it starts first and stops last."""
ENGINES = {"a": "engine-a", "b": "engine-b"}
"""Engine slot → program."""


@dataclass(frozen=True)
class Program:
    """One supervised program."""

    name: str
    command: list[str]
    title: str
    """As `loop up` calls it."""
    user: str | None = None
    directory: Path = field(default_factory=Path.cwd)
    stop_signal: str = "TERM"
    stop_seconds: int = 6
    """After that it is killed, with all its children."""


def programs(settings: Settings) -> list[Program]:
    """The programs, in the order in which they start; the last to start is the first to stop."""
    database = [] if settings.database_url else [_postgres(settings)]
    return [*database, *_loop(), *_engines(settings), *_dagster(settings)]


def program_names(settings: Settings) -> list[str]:
    return [program.name for program in programs(settings)]


def environment(settings: Settings) -> dict[str, str]:
    """What the programs find in their environment, beside what `loop up` found in its own."""
    return {
        "LOOP_DATA_DIR": str(settings.data_dir),
        "DAGSTER_HOME": str(dagster_home(settings)),
        "DAGSTER_POSTGRES_URL": dagster_database_url(settings),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "LOOP_CODE_SOCKET": str(code_socket(settings.data_dir)),
        "GX_ANALYTICS_ENABLED": "false",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_NO_USAGE_STATS": "1",
        "PYTHONUNBUFFERED": "1",
    }


def dagster_home(settings: Settings) -> Path:
    return settings.data_dir / "dagster"


def dagster_database_url(settings: Settings) -> str:
    """Dagster's tables have a database of their own in the embedded server, and a schema of their
    own (`dagster`) in yours: both of us keep a table `alembic_version`."""
    if settings.database_url is None:
        folder = postgres.socket_folder(settings.data_dir)
        return f"postgresql://postgres@/dagster?host={folder}"
    url = settings.database_url.replace("postgresql+psycopg2://", "postgresql://")
    return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3Ddagster"


def assignment(settings: Settings, slot: str) -> Path:
    """The file that tells the engine of a slot what to serve."""
    return settings.data_dir / "engines" / f"{slot}.json"


def _postgres(settings: Settings) -> Program:
    return Program(
        FIRST,
        postgres.command(settings.data_dir),
        "PostgreSQL",
        user=postgres.system_user(),
        directory=Path("/"),
        stop_signal="INT",  # a fast shutdown, which disconnects clients
        stop_seconds=10,
    )


def _loop() -> list[Program]:
    return [
        Program("controller", _module("loop_platform.release.controller"), "release controller"),
        Program("gateway", _module("loop_platform.gateway"), "gateway"),
        Program("observer", _module("loop_platform.observer"), "observer"),
        Program("console", _module("loop_platform.console"), "console"),
    ]


def _engines(settings: Settings) -> list[Program]:
    python = os.path.abspath(settings.engine.python)  # not resolved: a venv's python is a link
    serve = [python, "-m", "loop_platform.engine.serve", "--assignment"]
    return [
        Program(name, [*serve, str(assignment(settings, slot))], f"engine {slot}", stop_seconds=4)
        for slot, name in ENGINES.items()
    ]


def _dagster(settings: Settings) -> list[Program]:
    workspace = ["-w", str(REPOSITORY / "workspace.yaml")]
    socket = str(code_socket(settings.data_dir))
    at = ["-h", settings.dagster.host, "-p", str(settings.dagster.port)]
    return [
        Program(
            "code-location",
            _module("loop_platform.stack.code_location", "loop_platform.definitions", socket),
            "Dagster code location",
        ),
        Program(
            "dagster-webserver",
            _module("dagster_webserver", *workspace, *at),
            "Dagster UI",
            stop_seconds=3,
        ),
        Program(
            "dagster-daemon",
            _module("dagster._daemon", "run", *workspace),
            "Dagster daemon",
            stop_seconds=3,
        ),
    ]


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]
