"""The canary and the decision as real runs, on calls and feedback that lie in telemetry."""

import dagster as dg
import pytest

from loop_platform.defs.release.canary import canary
from loop_platform.defs.release.release import release
from loop_platform.identity import new_id
from loop_platform.release import registry, routes, trials
from loop_platform.release.states import State
from loop_platform_tests.evaluation.cycle import (
    candidate,
    go_to,
    learnt,
    materialise,
    settle,
    verdicts,
)
from loop_platform_tests.evaluation.traffic import Traffic
from loop_platform_tests.release.stage import Stage


@pytest.fixture
def exposed(stage: Stage) -> tuple[str, str]:
    """Champion, and a candidate in canary."""
    name = candidate(stage, learnt())
    go_to(stage, name, State.EVALUATED)
    stage.ask(lambda connection: trials.conclude(connection, name, State.SHADOW, "passed", {}))
    go_to(stage, name, State.CANARY)
    champion = stage.ask(registry.champion)
    assert champion is not None
    return champion.release, name


def meet(
    traffic: Traffic, sides: tuple[str, str], *, canary: int, champion: int, **fields: object
) -> list[str]:
    """Calls on both routes, alternating; the ids of the canary's."""
    rows = []
    for number in range(max(canary, champion)):
        if number < champion:
            rows.append(traffic.call(sides[0], "champion", "turn on lamp 1", "prose"))
        if number < canary:
            rows.append(traffic.call(sides[1], "canary", "turn on lamp 1", "done", **fields))
    rows.append(rows.pop(next(at for at, row in enumerate(rows) if row["route"] == "canary")))
    traffic.arrive("telemetry/calls", rows)
    return [row["call_id"] for row in rows if row["route"] == "canary"]


def test_a_canary_that_harms_nobody_is_promoted_and_the_decision_is_recorded(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, exposed: tuple[str, str]
):
    meet(traffic, exposed, canary=10, champion=30)

    result = materialise(stage, canary, instance)
    settle(stage, exposed[1])

    assert result.success
    assert stage.ask(routes.read).champion == exposed[1]
    decision = materialise(stage, release, instance)
    [recorded] = decision.asset_materializations_for_node("release__release")
    assert recorded.metadata["decision"].value == "champion"
    assert "| canary | champion | dagster | nothing got worse" in str(
        recorded.metadata["moves"].value
    )


def test_people_who_object_to_the_canary_end_it(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, exposed: tuple[str, str]
):
    calls = meet(traffic, exposed, canary=10, champion=60)
    objections = [
        {
            "feedback_id": new_id(),
            "record": "feedback",
            "call_id": call_id,
            "kind": "rating",
            "rating": 1,
        }
        for call_id in calls[:6]
    ]
    traffic.arrive("telemetry/feedback", objections)

    result = materialise(stage, canary, instance)
    settle(stage, exposed[1])

    assert [gate for gate, passed in verdicts(result).items() if not passed] == [
        "feedback_stays_good"
    ]
    assert stage.release(exposed[1]).state is State.REJECTED


def test_a_slow_canary_is_ended_by_the_absolute_budget(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, exposed: tuple[str, str]
):
    meet(traffic, exposed, canary=10, champion=30, latency_ms=60_000.0)

    result = materialise(stage, canary, instance)

    assert not verdicts(result)["latency_stays_low"]


def test_a_canary_is_not_judged_early(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, exposed: tuple[str, str]
):
    meet(traffic, exposed, canary=9, champion=30)

    assert not materialise(stage, canary, instance).success
    assert stage.release(exposed[1]).state is State.CANARY
