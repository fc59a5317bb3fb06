"""The servers that are compared: a bare pass-through, the gateway, and LiteLLM's proxy."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from loop_platform import migrations
from loop_platform.database import database_url, releases, routes
from loop_platform.keys import create_key
from loop_platform.settings import Settings
from loop_platform.stack import postgres
from traffic.process import REPOSITORY, Server, free_port, running

CANARY_SHARE = 0.05
SHADOW_SHARE = 0.05


@dataclass(frozen=True)
class Way:
    """A way to the engine."""

    name: str
    server: Server
    key: str
    folder: Path | None = None
    """Of the gateway's data."""

    def journalled(self) -> int:
        """Bytes in the journal, shipped ones included."""
        if self.folder is None:
            return 0
        files = [*self.folder.glob("journal/*"), *self.folder.glob("lake/segments/*/*")]
        return sum({file.name: _size(file) for file in files}.values())  # one may be in both


@dataclass(frozen=True)
class Cores:
    server: int
    load: int


@contextlib.contextmanager
def engine(core: int, pause_s: float = 0.0) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "traffic.engine", str(port), str(pause_s)]
    with running(command, port, core) as server:
        yield server


@contextlib.contextmanager
def pass_through(name: str, upstream: str, core: int, *options: str) -> Iterator[Way]:
    port = free_port()
    command = [sys.executable, "-m", "traffic.pass_through", str(port), upstream, *options]
    with running(command, port, core) as server:
        yield Way(name, server, "none")


@contextlib.contextmanager
def database(folder: Path, upstream: str) -> Iterator[tuple[str, str]]:
    """URL of a database in which the gateway finds a champion, a canary and a shadow, each on the
    one engine; and a caller's key."""
    settings = Settings(data_dir=folder)
    with postgres.running(folder):
        connected = sa.create_engine(database_url(settings))
        migrations.upgrade(connected)
        with connected.begin() as connection:
            route_everything(connection, upstream)
            key = create_key(connection, "contributor", "bench", "bench")
        connected.dispose()
        yield database_url(settings), key


def route_everything(connection: sa.Connection, upstream: str) -> None:
    """A champion, 5 % of the users on a canary, 5 % of the calls mirrored."""
    served = {"champion": "r-1", "canary": "r-2", "shadow": "r-3"}
    for state, release in served.items():
        row = {"release": release, "weights_path": "/none", "state": state, "record": {}}
        connection.execute(releases.insert().values(row))
    connection.execute(
        routes.insert().values(
            only=True,
            version=1,
            **served,
            **{f"{state}_url": upstream for state in served},
            canary_share=CANARY_SHARE,
            shadow_share=SHADOW_SHARE,
            lease_until=datetime.now(UTC) + timedelta(days=1),
        )
    )


@contextlib.contextmanager
def gateway(
    name: str, url: str, key: str, core: int, folder: Path, **settings: str
) -> Iterator[Way]:
    """`settings` are the gateway's own, `durability="power"`."""
    port = free_port()
    environment = {
        "LOOP_DATA_DIR": str(folder),
        "LOOP_DATABASE_URL": url,
        "LOOP_GATEWAY__PORT": str(port),
    }
    environment |= {f"LOOP_GATEWAY__{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "loop_platform.gateway"]
    with running(command, port, core, **environment) as server:
        yield Way(name, server, key, folder)


@contextlib.contextmanager
def litellm(environment: Path | None, upstream: str, core: int) -> Iterator[Way]:
    """LiteLLM's proxy with a key and no logging, from an environment of its own, which is made for
    this run unless one is given."""
    with tempfile.TemporaryDirectory(prefix="loop-litellm-") as name:
        folder = Path(name)
        if environment is None:
            environment = folder / "environment"
            lists = REPOSITORY / "requirements"
            install = [sys.executable, str(lists / "install.py"), str(environment), "litellm.txt"]
            subprocess.run(install, check=True, stdout=sys.stderr)
        config = folder / "config.yaml"
        served = {"model": "openai/r-1", "api_base": f"{upstream}/v1", "api_key": "none"}
        models = [{"model_name": "loop", "litellm_params": served}]
        text = {"model_list": models, "general_settings": {"master_key": "sk-bench"}}
        config.write_text(json.dumps(text))  # which is YAML too
        port = free_port()
        command = [
            *(str(environment / "bin" / "litellm"), "--config", str(config)),
            *("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        ]
        # The price list is looked for on the internet otherwise.
        quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with running(command, port, core, **quiet) as server:
            yield Way("litellm", server, "sk-bench")


def _size(file: Path) -> int:
    with contextlib.suppress(FileNotFoundError):  # shipped under our eyes
        return os.stat(file).st_size
    return 0
