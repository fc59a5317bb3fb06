from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from loop_platform.database import releases, routes
from loop_platform.defs.monitoring.assets import signals
from loop_platform.defs.monitoring.checks import signals_are_whole
from loop_platform.defs.monitoring.drift_report import drift_report
from loop_platform.defs.resources import LoopResource, resources
from loop_platform.defs.telemetry.assets import calls, feedback
from loop_platform.lake import Lake
from loop_platform.settings import Settings
from loop_platform_tests.segments import await_steady_hour

Materialise = Callable[..., dg.ExecuteInProcessResult]
Promote = Callable[..., None]


@pytest.fixture(autouse=True)
def _hour_that_does_not_end() -> None:
    await_steady_hour()


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake)


@pytest.fixture
def loop(settings: Settings) -> LoopResource:
    return LoopResource.of(settings)


@pytest.fixture
def observe(settings: Settings, database: sa.Engine) -> Materialise:
    """Materialises calls, feedback and signals of an hour, checks included."""

    def run(hour: str, *, rebuild: bool = False) -> dg.ExecuteInProcessResult:
        config = {"config": {"rebuild": rebuild}}
        return dg.materialize(
            [calls, feedback, signals, signals_are_whole],
            partition_key=hour,
            resources=resources(settings),
            run_config={"ops": {"telemetry__calls": config, "monitoring__signals": config}},
        )

    return run


@pytest.fixture
def report(settings: Settings, database: sa.Engine) -> Materialise:
    def run(hour: str) -> dg.ExecuteInProcessResult:
        return dg.materialize([drift_report], partition_key=hour, resources=resources(settings))

    return run


@pytest.fixture
def promote(database: sa.Engine) -> Promote:
    """Makes a release the champion, since so many minutes."""

    def made(release: str, minutes_ago: float = 60 * 24) -> None:
        since = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        row = {"release": release, "weights_path": "", "state": "champion", "record": {}}
        with database.begin() as connection:
            connection.execute(sa.insert(releases).values(**row, state_since=since))
            connection.execute(sa.delete(routes))
            connection.execute(sa.insert(routes).values(only=True, version=1, champion=release))

    return made
