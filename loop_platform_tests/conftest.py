"""What the tests share: a real PostgreSQL, started once, and a fresh database for each test; a tiny
model, made once."""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from loop_platform import migrations
from loop_platform.settings import Settings
from loop_platform.stack import postgres
from loop_platform_tests.engine.programs import tiny_model


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """The data folder of a running server.

    Not under pytest's own folder: each start of pytest closes that to all but its owner, and as
    root the server runs as another user.
    """
    with tempfile.TemporaryDirectory(prefix="loop-postgres-") as name:
        folder = Path(name)
        with postgres.running(folder):
            _migrate(_url(folder, "loop"))
            yield folder


@pytest.fixture
def database_url(postgres_folder: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of this test's own."""
    name = f"test_{uuid.uuid4().hex}"
    admin = sa.create_engine(_url(postgres_folder, "postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE loop"))
    yield _url(postgres_folder, name)
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def database(database_url: str) -> Iterator[sa.Engine]:
    """A connection pool on this test's own database."""
    engine = sa.create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings on this test's own folder and database."""
    return Settings(data_dir=tmp_path / "loop", database_url=database_url)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, made once."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def _url(folder: Path, name: str) -> str:
    return f"postgresql+psycopg2://postgres@/{name}?host={postgres.socket_folder(folder)}"


def _migrate(url: str) -> None:
    engine = sa.create_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
