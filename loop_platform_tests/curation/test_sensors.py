from datetime import UTC, datetime

import dagster as dg
import pytest
import sqlalchemy as sa

from loop_platform.database import (
    cycle_corrections,
    cycles,
    decisions,
    drift_verdicts,
    releases,
    routes,
)
from loop_platform.defs.curation.sensors import cycle_due
from loop_platform.defs.resources import LoopResource
from loop_platform.settings import CurationSettings, Recipe, TrainingSettings
from loop_platform_tests.curation.accepting import accepted, crowd
from loop_platform_tests.review.queues import corrected


@pytest.fixture
def given(settings):
    curation = CurationSettings(min_corrections=10, max_contributor_share=0.5)
    return settings.model_copy(update={"curation": curation})


@pytest.fixture
def instance():
    return dg.DagsterInstance.ephemeral()


def tick(given, instance):
    context = dg.build_sensor_context(instance=instance, sensor_name="cycle_due")
    return cycle_due(context, loop=LoopResource.of(given))


def requested(result):
    assert isinstance(result, dg.SensorResult), result
    return [(run.run_key, run.partition_key) for run in result.run_requests]


def ran(instance, cycle):
    """A run that the sensor asked for, over without success."""
    tags = {"dagster/sensor_name": "cycle_due", "dagster/partition": cycle}
    instance.add_run(dg.DagsterRun(job_name="turn", tags=tags, status=dg.DagsterRunStatus.FAILURE))


def released(database, cycle, *, closed=True):
    """The cycle used every correction there is and came to a release."""
    with database.begin() as connection:
        used = sa.select(
            sa.literal(cycle), decisions.c.decision_id, sa.literal("ada"), sa.literal("train")
        )
        columns = ["cycle", "decision_id", "contributor", "split"]
        connection.execute(sa.insert(cycle_corrections).from_select(columns, used))
        values = {"release": f"r-{cycle}", "cycle": cycle, "weights_path": "w", "record": {}}
        connection.execute(sa.insert(releases).values(**values, state="champion"))
        if closed:
            connection.execute(
                sa.update(cycles).where(cycles.c.cycle == cycle).values(closed_at=datetime.now(UTC))
            )


def test_too_few_corrections_open_no_cycle_and_the_sensor_says_how_many(database, given, instance):
    accepted(database, *crowd(9))
    skipped = tick(given, instance)
    assert isinstance(skipped, dg.SkipReason)
    assert "9 accepted corrections wait" in skipped.skip_message


def test_enough_corrections_open_a_cycle(database, given, instance):
    accepted(database, *crowd(10))
    result = tick(given, instance)
    assert requested(result) == [("0001:1", "0001")]
    [added] = result.dynamic_partitions_requests
    assert added.partition_keys == ["0001"]


def test_the_run_of_a_cycle_has_the_time_that_the_settings_give_it(database, given, instance):
    accepted(database, *crowd(10))
    training = given.training.model_copy(update={"timeout_s": 90.5})
    result = tick(given.model_copy(update={"training": training}), instance)
    [run] = result.run_requests
    assert run.tags[dg.MAX_RUNTIME_SECONDS_TAG] == "91"


def test_one_contributor_alone_opens_no_cycle(database, given, instance):
    accepted(database, *crowd(1))
    accepted(database, *(corrected(f"loud {n}", "buy", "eve") for n in range(30)))
    skipped = tick(given, instance)
    assert isinstance(skipped, dg.SkipReason)
    assert "31 accepted corrections wait, 2 of them within the share" in skipped.skip_message


def test_drift_halves_what_is_needed(database, given, instance):
    accepted(database, *crowd(5))
    assert isinstance(tick(given, instance), dg.SkipReason)
    with database.begin() as connection:
        values = {"task": "home", "last_call_id": "x", "hour": "h", "release": "r", "calls": 200}
        connection.execute(
            sa.insert(drift_verdicts).values(**values, drifted=True, p_value=0.001, effect=0.3)
        )
    assert requested(tick(given, instance)) == [("0001:1", "0001")]


def test_there_is_one_cycle_at_a_time(database, given, instance):
    accepted(database, *crowd(20))
    tick(given, instance)
    released(database, "0001", closed=False)
    skipped = tick(given, instance)
    assert isinstance(skipped, dg.SkipReason)
    assert "with the gates" in skipped.skip_message


def test_a_failed_run_is_tried_once_more_and_then_given_up(database, given, instance):
    accepted(database, *crowd(10))
    assert requested(tick(given, instance)) == [("0001:1", "0001")]
    ran(instance, "0001")
    assert requested(tick(given, instance)) == [("0001:2", "0001")]
    ran(instance, "0001")
    assert "given up" in tick(given, instance).skip_message
    still = tick(given, instance)
    assert isinstance(still, dg.SkipReason)
    assert "only 0 of them came after" in still.skip_message
    accepted(database, *crowd(10, start=10))
    assert requested(tick(given, instance)) == [("0002:1", "0002")]


def test_a_drill_follows_a_cycle_once(database, given, instance):
    drilled = given.model_copy(update={"training": TrainingSettings(drill=Recipe(replay_rows=0))})
    accepted(database, *crowd(10))
    tick(drilled, instance)
    released(database, "0001")
    assert requested(tick(drilled, instance)) == [("0001-drill:1", "0001-drill")]
    released(database, "0001-drill")
    assert isinstance(tick(drilled, instance), dg.SkipReason)


def test_without_a_drill_in_the_settings_there_is_none(database, given, instance):
    accepted(database, *crowd(10))
    tick(given, instance)
    released(database, "0001")
    assert isinstance(tick(given, instance), dg.SkipReason)


def test_a_paused_loop_opens_nothing(database, given, instance):
    accepted(database, *crowd(10))
    with database.begin() as connection:
        connection.execute(sa.insert(routes).values(only=True, version=1, paused=True))
    assert "paused" in tick(given, instance).skip_message
