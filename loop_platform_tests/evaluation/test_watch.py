"""A new champion in its first hour, on calls and feedback that lie in telemetry."""

from datetime import timedelta

import dagster as dg
import pytest
import sqlalchemy as sa

from loop_platform.database import trials as trials_table
from loop_platform.defs.release import canary_gates
from loop_platform.defs.release.sensors import champion_watched
from loop_platform.defs.release.watch import watch
from loop_platform.release import registry, routes, trials
from loop_platform.release.states import State
from loop_platform_tests.evaluation.cycle import (
    CYCLE,
    candidate,
    go_to,
    learnt,
    materialise,
    settle,
    verdicts,
)
from loop_platform_tests.evaluation.test_canary import meet, object_to
from loop_platform_tests.evaluation.test_sensors import tick
from loop_platform_tests.evaluation.traffic import Traffic
from loop_platform_tests.release.stage import Stage
from loop_platform_tests.release.test_leadership import wait_until


@pytest.fixture
def promoted(stage: Stage, traffic: Traffic) -> tuple[str, str]:
    """The champion before, which three hundred calls met, and the new one."""
    name = candidate(stage, learnt())
    go_to(stage, name, State.EVALUATED)
    stage.ask(lambda connection: trials.conclude(connection, name, State.SHADOW, "passed", {}))
    go_to(stage, name, State.CANARY)
    before = stage.ask(registry.champion)
    assert before is not None
    meet(traffic, (before.release, name), canary=30, champion=300)
    stage.ask(lambda connection: trials.conclude(connection, name, State.CANARY, "passed", {}))
    go_to(stage, name, State.CHAMPION)
    return before.release, name


def serve(traffic: Traffic, release: str, calls: int, refusal: float = 0.0) -> list[str]:
    """Calls that a champion answered; their ids."""
    rows = [traffic.call(release, "champion", "turn on lamp 1", "done") for _ in range(calls)]
    traffic.arrive("telemetry/calls", rows)
    traffic.arrive("monitoring/signals", [{**row, "refusal": refusal} for row in rows])
    return [row["call_id"] for row in rows]


def trial_of(stage: Stage, name: str) -> trials.Trial:
    trial = stage.ask(lambda connection: trials.find(connection, name, State.CHAMPION))
    assert trial is not None
    return trial


def test_a_champion_that_people_object_to_is_taken_back(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, promoted: tuple[str, str]
):
    before, name = promoted
    object_to(traffic, serve(traffic, name, 40)[:16])

    result = materialise(stage, watch, instance)
    settle(stage, name)

    assert not verdicts(result)["satisfaction_holds"]
    assert stage.ask(routes.read).champion == before
    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    assert (last.to_state, last.actor) == (State.ROLLED_BACK, "dagster")
    assert last.reason.startswith("after its promotion: satisfaction_holds: satisfaction lost")
    assert trial_of(stage, name).verdict == "failed"


def test_a_champion_that_declines_is_taken_back(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, promoted: tuple[str, str]
):
    before, name = promoted
    serve(traffic, name, 30, refusal=1.0)

    materialise(stage, watch, instance)
    settle(stage, name)

    assert stage.ask(routes.read).champion == before


def test_a_champion_that_holds_stays_and_is_looked_at_again(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, promoted: tuple[str, str]
):
    name = promoted[1]
    object_to(traffic, serve(traffic, name, 40)[:1])

    result = materialise(stage, watch, instance)
    stage.step(2)

    assert result.success
    assert stage.ask(routes.read).champion == name
    between = trial_of(stage, name)
    assert (between.verdict, between.looked_at, between.next_look) == (None, 40, 50)
    sensed = tick(champion_watched, stage, instance)
    assert isinstance(sensed, dg.SkipReason)
    assert sensed.skip_message == "40 of 50 calls are in telemetry"

    serve(traffic, name, 10)
    again = tick(champion_watched, stage, instance)
    assert isinstance(again, dg.SensorResult)
    assert again.run_requests is not None
    assert [request.partition_key for request in again.run_requests] == [CYCLE]


def test_a_spent_budget_does_not_end_the_watch(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, promoted: tuple[str, str]
):
    """People object to answers a while after they came."""
    before, name = promoted
    budget = sa.update(trials_table).where(trials_table.c.stage == State.CHAMPION)
    stage.ask(lambda connection: connection.execute(budget.values(budget=40)))
    calls = serve(traffic, name, 60)

    materialise(stage, watch, instance)

    assert (trial_of(stage, name).verdict, trial_of(stage, name).looked_at) == (None, 40)
    assert isinstance(tick(champion_watched, stage, instance), dg.SkipReason)

    object_to(traffic, calls[:16])
    materialise(stage, watch, instance)
    settle(stage, name)

    assert stage.ask(routes.read).champion == before


def moved_back(stage: Stage, name: str, seconds: float) -> None:
    """Lets a watch have begun so long ago."""
    earlier = trials_table.c.started_at - timedelta(seconds=seconds)
    mine = sa.update(trials_table).where(
        trials_table.c.release == name, trials_table.c.stage == State.CHAMPION
    )
    stage.ask(lambda connection: connection.execute(mine.values(started_at=earlier)))


class TestTheHourIsOver:
    def test_the_watch_ends_with_what_is_known(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        promoted: tuple[str, str],
    ):
        name = promoted[1]
        serve(traffic, name, 5)
        moved_back(stage, name, stage.settings.gates.watch_s - 0.5)
        wait_until(lambda: isinstance(tick(champion_watched, stage, instance), dg.SensorResult))

        result = materialise(stage, watch, instance)

        assert set(verdicts(result)) == set(canary_gates.NAMES)
        assert (trial_of(stage, name).verdict, trial_of(stage, name).looked_at) == ("not known", 5)
        assert stage.ask(routes.read).champion == name

    def test_what_came_later_is_not_looked_at(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        promoted: tuple[str, str],
    ):
        name = promoted[1]
        moved_back(stage, name, stage.settings.gates.watch_s + 1)
        serve(traffic, name, 30, refusal=1.0)

        sensed = tick(champion_watched, stage, instance)

        assert isinstance(sensed, dg.SkipReason)
        assert sensed.skip_message == f"champion {name}: no call came while it was watched"
        assert trial_of(stage, name).verdict == "not known"
        stage.step(2)
        assert stage.ask(routes.read).champion == name
