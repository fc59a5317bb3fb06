from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from loop_platform.defs.resources import LoopResource, resources
from loop_platform.defs.telemetry.assets import calls, feedback
from loop_platform.defs.telemetry.checks import calls_are_sound, feedback_is_sound
from loop_platform.identity import hour_of, new_id
from loop_platform.lake import Lake
from loop_platform.settings import Settings
from loop_platform_tests.segments import await_steady_hour

Materialise = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(autouse=True)
def _hour_that_does_not_end() -> None:
    await_steady_hour()


@pytest.fixture
def loop(settings: Settings) -> LoopResource:
    return LoopResource.of(settings)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake)


@pytest.fixture
def materialise(settings: Settings, database: sa.Engine) -> Materialise:
    """Materialises the telemetry of an hour, checks included."""

    def run(hour: str, *, rebuild: bool = False) -> dg.ExecuteInProcessResult:
        config = {"config": {"rebuild": rebuild}}
        return dg.materialize(
            [calls, feedback, calls_are_sound, feedback_is_sound],
            partition_key=hour,
            resources=resources(settings),
            run_config={"ops": {"telemetry__calls": config, "telemetry__feedback": config}},
            raise_on_error=False,
        )

    return run


@pytest.fixture
def this_hour() -> str:
    return hour_of(new_id())


@pytest.fixture
def at() -> Callable[[int, int], str]:
    """An id of so many hours ago."""

    def made(hours_ago: int, minute: int = 0) -> str:
        top = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        moment = top - timedelta(hours=hours_ago) + timedelta(minutes=minute)
        return new_id(int(moment.timestamp() * 1000))

    return made
