"""When the gates are run, and how often."""

import dagster as dg
import sqlalchemy as sa

from loop_platform.automation import RELEASE_TAG
from loop_platform.database import releases
from loop_platform.defs.evaluation.sensors import candidate_ready, shadow_complete
from loop_platform.defs.release.sensors import canary_complete, release_decided
from loop_platform.defs.resources import LoopResource
from loop_platform.release import registry, requests, trials
from loop_platform.release.states import State
from loop_platform_tests.evaluation.cycle import CYCLE, candidate, go_to, learnt
from loop_platform_tests.evaluation.traffic import Traffic
from loop_platform_tests.release.stage import Stage


def tick(
    sensor: dg.SensorDefinition,
    stage: Stage,
    instance: dg.DagsterInstance,
    cursor: str | None = None,
) -> dg.SensorResult | dg.SkipReason:
    context = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        sensor_name=sensor.name,
        resources={"loop": LoopResource.of(stage.settings)},
    )
    found = sensor(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def ran(instance: dg.DagsterInstance, sensor: str, release: str, status: str) -> None:
    """A run that the sensor asked for."""
    tags = {"dagster/sensor_name": sensor, RELEASE_TAG: release}
    instance.create_run_for_job(
        dg.define_asset_job("empty", dg.AssetSelection.all()).resolve(
            asset_graph=dg.Definitions(assets=[_nothing]).resolve_asset_graph()
        ),
        tags=tags,
        status=dg.DagsterRunStatus[status],
    )


@dg.asset
def _nothing() -> None: ...


def test_a_candidate_on_a_ready_engine_is_evaluated(stage: Stage, instance: dg.DagsterInstance):
    name = candidate(stage, learnt())

    found = tick(candidate_ready, stage, instance)

    assert isinstance(found, dg.SensorResult)
    [run] = found.run_requests or []
    assert (run.partition_key, run.tags[RELEASE_TAG]) == (CYCLE, name)


def test_one_evaluation_runs_at_a_time(stage: Stage, instance: dg.DagsterInstance):
    name = candidate(stage, learnt())
    ran(instance, "candidate_ready", name, "STARTED")

    found = tick(candidate_ready, stage, instance)

    assert isinstance(found, dg.SkipReason)
    assert found.skip_message == f"release {name} is being judged"


def test_an_answer_that_the_controller_has_not_read_yet_is_not_asked_for_again(
    stage: Stage, instance: dg.DagsterInstance
):
    name = candidate(stage, learnt())
    stage.ask(
        lambda connection: requests.request_move(
            connection, name, State.EVALUATED, actor="a", reason="b", evidence={}
        )
    )

    assert isinstance(tick(candidate_ready, stage, instance), dg.SkipReason)


def test_what_failed_three_times_is_turned_away(stage: Stage, instance: dg.DagsterInstance):
    name = candidate(stage, learnt())
    for _ in range(3):
        ran(instance, "candidate_ready", name, "FAILURE")

    found = tick(candidate_ready, stage, instance)
    stage.step(2)

    assert isinstance(found, dg.SkipReason)
    assert "3 runs failed" in str(found.skip_message)
    assert stage.release(name).state is State.REJECTED


def test_the_shadow_is_looked_at_when_its_pairs_came_and_again_with_a_quarter_more(
    stage: Stage, instance: dg.DagsterInstance, traffic: Traffic
):
    name = candidate(stage, learnt())
    go_to(stage, name, State.EVALUATED)
    trial = stage.ask(lambda connection: trials.find(connection, name, State.SHADOW))
    assert trial is not None

    def pairs(count: int) -> None:
        rows = []
        for _ in range(count):
            rows += traffic.mirrored((trial.champion, "a"), (name, "b"), "c")
        traffic.arrive("telemetry/calls", rows)

    pairs(19)
    waiting = tick(shadow_complete, stage, instance)
    assert isinstance(waiting, dg.SkipReason)
    assert waiting.skip_message == "19 of 20 pairs are in telemetry"
    pairs(1)

    assert isinstance(tick(shadow_complete, stage, instance), dg.SensorResult)
    stage.ask(lambda connection: trials.look(connection, name, State.SHADOW, {"looked_at": 20}))
    waiting = tick(shadow_complete, stage, instance)
    assert isinstance(waiting, dg.SkipReason)
    assert waiting.skip_message == "20 of 25 pairs are in telemetry"
    pairs(5)
    assert isinstance(tick(shadow_complete, stage, instance), dg.SensorResult)
    stage.ask(lambda connection: trials.conclude(connection, name, State.SHADOW, "not known", {}))
    assert isinstance(tick(shadow_complete, stage, instance), dg.SkipReason)


def test_looks_that_settled_nothing_are_no_failures(
    stage: Stage, instance: dg.DagsterInstance, traffic: Traffic
):
    name = candidate(stage, learnt())
    go_to(stage, name, State.EVALUATED)
    for _ in range(5):
        ran(instance, "shadow_complete", name, "SUCCESS")
    champion = stage.ask(registry.champion)
    assert champion is not None
    rows = []
    for _ in range(20):
        rows += traffic.mirrored((champion.release, "a"), (name, "b"), "c")
    traffic.arrive("telemetry/calls", rows)

    assert isinstance(tick(shadow_complete, stage, instance), dg.SensorResult)


def test_the_canary_is_looked_at_when_its_first_planned_calls_arrived(
    stage: Stage, instance: dg.DagsterInstance, traffic: Traffic
):
    name = candidate(stage, learnt())
    go_to(stage, name, State.EVALUATED)
    stage.ask(lambda connection: trials.conclude(connection, name, State.SHADOW, "passed", {}))
    go_to(stage, name, State.CANARY)

    assert isinstance(tick(canary_complete, stage, instance), dg.SkipReason)
    traffic.arrive("telemetry/calls", [traffic.call(name, "canary", "a", "b") for _ in range(10)])

    assert isinstance(tick(canary_complete, stage, instance), dg.SensorResult)


def test_a_decision_is_recorded_once(stage: Stage, instance: dg.DagsterInstance):
    name = candidate(stage, learnt())
    assert isinstance(tick(release_decided, stage, instance), dg.SkipReason)
    go_to(stage, name, State.REJECTED)

    found = tick(release_decided, stage, instance)

    assert isinstance(found, dg.SensorResult)
    decision, metrics = found.run_requests or []
    assert (decision.job_name, decision.partition_key) == ("decision", CYCLE)
    assert metrics.job_name == "metrics"
    assert isinstance(tick(release_decided, stage, instance, found.cursor), dg.SkipReason)


def test_a_release_without_a_cycle_is_nobodys_decision(stage: Stage, instance: dg.DagsterInstance):
    name = candidate(stage, learnt())
    stage.ask(lambda connection: connection.execute(sa.update(releases).values(cycle=None)))
    go_to(stage, name, State.REJECTED)

    assert isinstance(tick(release_decided, stage, instance), dg.SkipReason)
