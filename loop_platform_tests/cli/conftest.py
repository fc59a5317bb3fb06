"""The command line on this test's own database and folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest

from loop_platform import database as loop_database
from loop_platform.cli import main
from loop_platform.settings import settings as loop_settings

Loop = Callable[..., click.testing.Result]


@pytest.fixture
def loop(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """Runs `loop` with these arguments, in this process."""
    monkeypatch.setenv("LOOP_DATABASE_URL", database_url)
    monkeypatch.setenv("LOOP_DATA_DIR", str(tmp_path / "loop"))
    monkeypatch.chdir(tmp_path)
    loop_settings.cache_clear()
    loop_database.engine.cache_clear()

    def run(*arguments: object) -> click.testing.Result:
        return click.testing.CliRunner().invoke(main, [str(each) for each in arguments])

    yield run
    loop_database.engine().dispose()
    loop_settings.cache_clear()
    loop_database.engine.cache_clear()
