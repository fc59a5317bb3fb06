import time
from collections.abc import Callable

import dagster as dg
import sqlalchemy as sa

from loop_platform.database import cycles
from loop_platform.defs.resources import LoopResource
from loop_platform.defs.telemetry.sensors import new_segments
from loop_platform.identity import hour_of
from loop_platform.lake import Lake
from loop_platform_tests.segments import a_call, ship
from loop_platform_tests.telemetry.conftest import Materialise

At = Callable[..., str]


def _tick(instance: dg.DagsterInstance, loop: LoopResource) -> list[tuple[str | None, str | None]]:
    context = dg.build_sensor_context(instance=instance, sensor_name="new_segments")
    result = new_segments(context, loop=loop)
    if isinstance(result, dg.SkipReason):
        return []
    return [(request.partition_key, request.run_key) for request in result.run_requests or []]


def test_new_segments_ask_for_their_hours_the_newest_first(
    database: sa.Engine, lake: Lake, loop: LoopResource, this_hour: str, at: At
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert _tick(instance, loop) == []
        ship(database, lake, [a_call(), a_call(call_id=at(3))])
        asked = _tick(instance, loop)
        assert [hour for hour, _ in asked] == [this_hour, hour_of(at(3))]
        assert _tick(instance, loop) == asked, "the same segments are the same request"
        ship(database, lake, [a_call()])
        assert _tick(instance, loop)[0] != asked[0]


def test_a_run_in_flight_is_waited_for(
    database: sa.Engine, lake: Lake, loop: LoopResource, this_hour: str
) -> None:
    ship(database, lake, [a_call()])
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(
            dg.DagsterRun(
                job_name="telemetry",
                status=dg.DagsterRunStatus.STARTED,
                tags={"dagster/sensor_name": "new_segments"},
            )
        )
        assert _tick(instance, loop) == []


def test_what_is_converted_is_asked_for_until_its_signals_are_there(
    database: sa.Engine, lake: Lake, loop: LoopResource, this_hour: str, materialise: Materialise
) -> None:
    ship(database, lake, [a_call()])
    materialise(this_hour)
    with dg.DagsterInstance.ephemeral() as instance:
        assert [hour for hour, _ in _tick(instance, loop)] == [this_hour]


def test_while_a_cycle_trains_telemetry_is_taken_in_seldom(
    database: sa.Engine, lake: Lake, loop: LoopResource
) -> None:
    ship(database, lake, [a_call()])
    with database.begin() as connection:
        connection.execute(
            sa.insert(cycles).values(cycle="0001", kind="improvement", reason="test")
        )

    def tick(ago_s: float) -> dg.SensorResult | dg.SkipReason:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(
                instance=instance, sensor_name="new_segments", cursor=str(time.time() - ago_s)
            )
            return new_segments(context, loop=loop)

    skipped = tick(ago_s=5)
    assert isinstance(skipped, dg.SkipReason)
    assert "cycle 0001 is in training" in str(skipped.skip_message)
    assert isinstance(
        tick(ago_s=loop.settings.dagster.telemetry_in_training_s + 1), dg.SensorResult
    )
