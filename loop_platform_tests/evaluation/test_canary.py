"""The canary and the decision as real runs, on calls and feedback that lie in telemetry."""

import dagster as dg
import pytest

from loop_platform.defs.release import canary_gates
from loop_platform.defs.release.canary import canary
from loop_platform.defs.release.release import release
from loop_platform.identity import new_id
from loop_platform.release import approval, registry, requests, routes, trials
from loop_platform.release.states import State
from loop_platform.settings import GateSettings
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
    """Calls on both routes, mixed, with their signals; the ids of the canary's."""
    beside = champion // canary
    rows = []
    for _ in range(canary):
        rows += [
            traffic.call(sides[0], "champion", "turn on lamp 1", "prose") for _ in range(beside)
        ]
        rows.append(traffic.call(sides[1], "canary", "turn on lamp 1", "done", **fields))
    traffic.arrive("telemetry/calls", rows)
    seen = [{**row, "refusal": 0.0} for row in rows]
    traffic.arrive("monitoring/signals", seen)
    return [row["call_id"] for row in rows if row["route"] == "canary"]


def object_to(traffic: Traffic, calls: list[str]) -> None:
    traffic.arrive(
        "telemetry/feedback",
        [
            {
                "feedback_id": new_id(),
                "record": "feedback",
                "call_id": call_id,
                "kind": "rating",
                "rating": 1,
            }
            for call_id in calls
        ],
    )


def trial_of(stage: Stage, name: str) -> trials.Trial:
    trial = stage.ask(lambda connection: trials.find(connection, name, State.CANARY))
    assert trial is not None
    return trial


def test_a_canary_that_harms_nobody_is_promoted_once_that_is_known(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, exposed: tuple[str, str]
):
    meet(traffic, exposed, canary=10, champion=30)

    early = materialise(stage, canary, instance)
    settle(stage, exposed[1])

    assert early.success
    between = trial_of(stage, exposed[1])
    assert (between.verdict, between.looked_at, between.next_look) == (None, 10, 13)
    assert stage.release(exposed[1]).state is State.CANARY

    meet(traffic, exposed, canary=140, champion=560)
    result = materialise(stage, canary, instance)
    settle(stage, exposed[1])

    assert verdicts(result) == dict.fromkeys(canary_gates.NAMES, True)
    assert stage.ask(routes.read).champion == exposed[1]
    [made] = result.asset_materializations_for_node("release__canary")
    assert "data:image/png" in str(made.metadata["picture"].value)
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
    object_to(traffic, calls[:6])

    result = materialise(stage, canary, instance)
    settle(stage, exposed[1])

    trial = trial_of(stage, exposed[1])
    assert trial.evidence is not None
    lost = [name for name, front in trial.evidence["fronts"].items() if front["verdict"] == "lost"]
    assert lost == ["satisfaction"]
    assert not result.success
    assert stage.release(exposed[1]).state is State.REJECTED


def test_a_slow_canary_is_lost(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, exposed: tuple[str, str]
):
    meet(traffic, exposed, canary=10, champion=30, latency_ms=60_000.0)

    result = materialise(stage, canary, instance)
    settle(stage, exposed[1])

    assert not verdicts(result)["latency_holds"]
    assert stage.release(exposed[1]).state is State.REJECTED


def test_a_canary_whose_refusals_nobody_counted_is_not_known_and_does_not_pass(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, exposed: tuple[str, str]
):
    rows = [
        traffic.call(exposed[at % 3 == 0], ("champion", "canary")[at % 3 == 0], "lamp", "done")
        for at in range(480)
    ]
    traffic.arrive("telemetry/calls", rows)

    materialise(stage, canary, instance)
    settle(stage, exposed[1])

    trial = trial_of(stage, exposed[1])
    assert trial.verdict == "not known"
    assert trial.evidence is not None
    assert trial.evidence["not known"] == ["safety"]
    assert stage.release(exposed[1]).state is State.REJECTED


def test_a_canary_is_not_judged_early(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, exposed: tuple[str, str]
):
    meet(traffic, exposed, canary=9, champion=30)

    assert not materialise(stage, canary, instance).success
    assert stage.release(exposed[1]).state is State.CANARY


class TestAPersonApprovesOneTask:
    @pytest.fixture
    def gates(self, gates: GateSettings) -> GateSettings:
        return gates.model_copy(update={"promotion_by_task": {"commands": "person"}})

    def test_what_passed_waits_visibly_until_a_person_sends_it_on(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        exposed: tuple[str, str],
    ):
        base, name = exposed
        meet(traffic, exposed, canary=150, champion=600)

        result = materialise(stage, canary, instance)
        stage.step(2)

        assert result.success
        assert stage.release(name).state is State.CANARY
        assert trial_of(stage, name).verdict == "passed"
        [made] = result.asset_materializations_for_node("release__canary")
        assert "a person approves what answers commands" in str(made.metadata["asked for"].value)
        [wait] = stage.ask(lambda found: approval.waits(found, stage.settings.gates))
        assert (wait.release, wait.stage, wait.approval.tasks) == (name, "canary", ("commands",))
        assert str(wait) == "waits for a person: nothing got worse in its canary"

        go_to(stage, name, State.CHAMPION)

        assert stage.ask(routes.read).champion == name
        last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
        assert (last.actor, last.evidence["approval"]) == (
            "a test",
            {"needed": True, "tasks": ["commands"], "given_by": "a test"},
        )
        assert last.evidence["predecessor"] == base
        assert stage.ask(lambda found: approval.waits(found, stage.settings.gates)) == []

    def test_a_machine_cannot_approve(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        exposed: tuple[str, str],
    ):
        name = exposed[1]
        meet(traffic, exposed, canary=150, champion=600)
        materialise(stage, canary, instance)

        asked = stage.ask(
            lambda connection: requests.request_move(
                connection, name, State.CHAMPION, actor="dagster", reason="why not", evidence={}
            )
        )
        settle(stage, name)

        refusal = stage.ask(lambda connection: requests.outcome(connection, asked)).refusal
        assert refusal is not None
        assert "waits for a person" in refusal
        assert stage.release(name).state is State.CANARY


class TestAPersonApprovesAnotherTask:
    @pytest.fixture
    def gates(self, gates: GateSettings) -> GateSettings:
        return gates.model_copy(update={"promotion_by_task": {"invoices": "person"}})

    def test_what_met_no_such_task_is_promoted(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        exposed: tuple[str, str],
    ):
        meet(traffic, exposed, canary=150, champion=600)

        materialise(stage, canary, instance)
        settle(stage, exposed[1])

        assert stage.ask(routes.read).champion == exposed[1]

    def test_a_task_that_only_the_shadow_saw_counts(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        exposed: tuple[str, str],
    ):
        name = exposed[1]
        seen = {"tasks": ["commands", "invoices"]}
        stage.ask(lambda found: trials.conclude(found, name, State.SHADOW, "passed", seen))
        meet(traffic, exposed, canary=150, champion=600)

        materialise(stage, canary, instance)
        stage.step(2)

        assert stage.release(name).state is State.CANARY
        [wait] = stage.ask(lambda found: approval.waits(found, stage.settings.gates))
        assert wait.approval.tasks == ("invoices",)
