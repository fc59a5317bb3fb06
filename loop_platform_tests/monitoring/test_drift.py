import dagster as dg
import msgspec
import numpy as np
import polars as pl
import sqlalchemy as sa

from loop_platform.database import cycles, drift_verdicts
from loop_platform.defs.monitoring.drift import holm, overall_p_value, signal_tests
from loop_platform.defs.monitoring.sensors import drift_due
from loop_platform.defs.resources import LoopResource
from loop_platform.identity import hour_of, new_id
from loop_platform.lake import Lake
from loop_platform.records import Call
from loop_platform_tests.monitoring.conftest import Materialise, Promote
from loop_platform_tests.monitoring.test_observation import command
from loop_platform_tests.segments import a_call, ship


def _commands(first: int, count: int = 200) -> list[Call]:
    return [a_call(command(seed), task="home") for seed in range(first, first + count)]


def _songs(count: int = 200) -> list[Call]:
    artists = ["Queen", "Abba", "Bach", "Prince", "Nirvana"]
    return [
        a_call(f"Play song {at} by {artists[at % 5]} and set the volume to {at}", task="home")
        for at in range(count)
    ]


def _verdicts(database: sa.Engine) -> list[tuple[str, bool]]:
    query = sa.select(drift_verdicts.c.task, drift_verdicts.c.drifted)
    with database.connect() as connection:
        return [
            (task, drifted)
            for task, drifted in connection.execute(query.order_by(drift_verdicts.c.last_call_id))
        ]


def test_holm_corrects_for_the_number_of_tests() -> None:
    assert holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]
    assert holm([]) == []


def test_a_signal_that_moved_is_found_and_one_that_cannot_alarm_does_not() -> None:
    random = np.random.default_rng(1)
    before = pl.DataFrame({"length": random.normal(size=200), "latency": random.normal(size=200)})
    now = before.select("length", latency=pl.col("latency") + 9)
    tests = signal_tests(before, now, {"length": True, "latency": False})
    assert [test.p_adjusted < 0.01 for test in tests] == [False, True]
    assert overall_p_value(None, tests) == 1.0


def test_new_kinds_of_prompts_raise_an_alarm_and_the_same_kinds_do_not(
    database: sa.Engine, lake: Lake, observe: Materialise, report: Materialise, promote: Promote
) -> None:
    promote("base-1")
    hour = hour_of(new_id())
    ship(database, lake, _commands(0, 400))
    observe(hour)
    calm = report(hour)
    assert _verdicts(database) == [("home", False)]
    ship(database, lake, _songs())
    observe(hour)
    alarm = report(hour)
    assert _verdicts(database) == [("home", False), ("home", True)]
    (made,) = alarm.asset_materializations_for_node("monitoring__drift_report")
    picture = made.metadata["picture"].value
    assert picture.startswith("![drift](data:image/png;base64,")  # type: ignore[union-attr]
    assert len(picture) < 100_000  # type: ignore[arg-type]
    frame = alarm.output_for_node("monitoring__drift_report")
    assert "embeddings (MMD)" in frame["name"].to_list()
    assert calm.success


def test_the_prompts_of_a_team_that_keeps_its_gateway_are_watched_too(
    observe: Materialise, report: Materialise, promote: Promote, database: sa.Engine, lake: Lake
) -> None:
    promote("base-1")
    hour = hour_of(new_id())
    elsewhere = {"source": "otlp", "route": "external", "release": "imported"}
    for calls in (_commands(0, 400), _songs()):
        ship(database, lake, [msgspec.structs.replace(call, **elsewhere) for call in calls])
        observe(hour)
    report(hour)
    assert _verdicts(database) == [("home", True)]


def test_too_few_calls_are_said_to_be_too_few(
    database: sa.Engine, lake: Lake, observe: Materialise, report: Materialise, promote: Promote
) -> None:
    promote("base-1")
    ship(database, lake, _commands(0, 40))
    observe(hour_of(new_id()))
    result = report(hour_of(new_id()))
    (made,) = result.asset_materializations_for_node("monitoring__drift_report")
    assert "skipped 1 because a window is shorter" in str(made.metadata["summary"].value)
    assert _verdicts(database) == []


def test_a_champion_is_compared_with_what_it_answered_in_its_own_trials(
    database: sa.Engine, lake: Lake, observe: Materialise, report: Materialise, promote: Promote
) -> None:
    """A release that answers at another length is no drift: it was judged on those answers."""
    hour = hour_of(new_id())
    mirrored = [
        a_call(command(seed), task="home", release="r-2", route="shadow", completion_tokens=40)
        for seed in range(200)
    ]
    ship(database, lake, [*_commands(0), *mirrored])
    promote("r-2", minutes_ago=0)
    ship(
        database,
        lake,
        [
            a_call(command(seed), task="home", release="r-2", completion_tokens=40)
            for seed in range(200, 400)
        ],
    )
    observe(hour)
    assert report(hour).success
    assert _verdicts(database) == [("home", False)]


def test_the_sensor_waits_for_half_a_window_and_for_the_interval(
    database: sa.Engine, lake: Lake, observe: Materialise, loop: LoopResource
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ship(database, lake, _commands(0, 60))
        observe(hour_of(new_id()))
        context = dg.build_sensor_context(instance=instance, sensor_name="drift_due")
        assert isinstance(drift_due(context, loop=loop), dg.SkipReason)
        ship(database, lake, _commands(60, 60))
        observe(hour_of(new_id()))
        due = drift_due(context, loop=loop)
        assert isinstance(due, dg.SensorResult)
        assert [request.partition_key for request in due.run_requests or []]
        after = dg.build_sensor_context(
            instance=instance, sensor_name="drift_due", cursor=due.cursor
        )
        waiting = drift_due(after, loop=loop)
        assert isinstance(waiting, dg.SkipReason)
        assert "the last report looked at the calls" in str(waiting.skip_message)


def test_the_sensor_leaves_the_cores_to_training(
    database: sa.Engine, lake: Lake, observe: Materialise, loop: LoopResource
) -> None:
    ship(database, lake, _commands(0, 120))
    observe(hour_of(new_id()))
    with database.begin() as connection:
        row = {"cycle": "0001", "kind": "improvement", "reason": "100 corrections"}
        connection.execute(sa.insert(cycles).values(row))
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, sensor_name="drift_due")
        waiting = drift_due(context, loop=loop)
        assert isinstance(waiting, dg.SkipReason)
        assert "cycle 0001 is in training" in str(waiting.skip_message)
        with database.begin() as connection:
            long_ago = sa.text("opened_at - interval '2 hours'")
            connection.execute(sa.update(cycles).values(opened_at=long_ago))
        assert isinstance(drift_due(context, loop=loop), dg.SensorResult)
