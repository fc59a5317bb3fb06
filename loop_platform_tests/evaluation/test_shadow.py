"""The shadow gates as a real run, on pairs that lie in telemetry."""

import dagster as dg
import pytest

from loop_platform.defs.evaluation import mirrored, shadow_gates
from loop_platform.defs.evaluation.shadow import shadow
from loop_platform.release import registry, requests, trials
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
from loop_platform_tests.evaluation.validator import intent
from loop_platform_tests.release.stage import Stage


@pytest.fixture
def shadowed(stage: Stage) -> tuple[str, str]:
    """Champion, and a candidate in shadow."""
    name = candidate(stage, learnt())
    go_to(stage, name, State.EVALUATED)
    champion = stage.ask(registry.champion)
    assert champion is not None
    return champion.release, name


def mirror(
    traffic: Traffic, sides: tuple[str, str], count: int, answers: tuple[str, str], **fields: object
) -> None:
    """`count` pairs; `{prompt}` in an answer is the intent."""
    rows = []
    for number in range(count):
        prompt = f"turn on lamp {number}"
        old, new = (answer.replace("{intent}", intent(prompt)) for answer in answers)
        rows += traffic.mirrored((sides[0], old), (sides[1], new), prompt, **fields)
    traffic.arrive("telemetry/calls", rows)


def test_a_candidate_that_wins_its_pairs_goes_on_to_the_canary(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 20, ("prose", "{intent}"))

    result = materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    assert result.success
    assert verdicts(result) == dict.fromkeys(shadow_gates.NAMES, True)
    assert stage.release(shadowed[1]).state is State.CANARY
    trial = stage.ask(lambda connection: trials.find(connection, shadowed[1], State.SHADOW))
    assert trial is not None
    assert trial.verdict == "passed"
    assert trial.evidence is not None
    [score] = trial.evidence["scores"]
    assert (score["verdict"], score["candidate"]["n"]) == ("won", 20)


def test_only_the_planned_pairs_are_looked_at(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 20, ("{intent}", "{intent}"))
    mirror(traffic, shadowed, 30, ("{intent}", "worse"))

    result = materialise(stage, shadow, instance)

    assert result.success, "pairs beyond the plan were looked at"


def test_a_candidate_that_loses_its_pairs_is_turned_away(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 10, ("{intent}", "{intent}"))
    mirror(traffic, shadowed, 10, ("{intent}", "prose"))

    result = materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    assert not result.success
    assert not verdicts(result)[shadow_gates.FOCUS]
    assert stage.release(shadowed[1]).state is State.REJECTED


def test_nothing_is_judged_before_the_last_planned_pair(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 19, ("prose", "{intent}"))

    result = materialise(stage, shadow, instance)

    assert not result.success
    assert stage.ask(lambda connection: requests.pending(connection, shadowed[1])) == []


def test_a_candidate_that_does_not_answer_is_turned_away(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    champion, name = shadowed
    rows = []
    for _ in range(20):
        call, twin = traffic.mirrored((champion, "prose"), (name, ""), "turn on lamp 1")
        rows += [call, twin | {"status": 500, "complete": False}]
    traffic.arrive("telemetry/calls", rows)

    result = materialise(stage, shadow, instance)

    assert not verdicts(result)[shadow_gates.ANSWERS]


def test_calls_that_the_champion_did_not_answer_are_no_pairs(
    stage: Stage, traffic: Traffic, shadowed: tuple[str, str]
):
    champion, name = shadowed
    call, twin = traffic.mirrored((champion, ""), (name, "prose"), "turn on lamp 1")
    traffic.arrive("telemetry/calls", [call | {"status": 503}, twin])
    trial = stage.ask(lambda connection: trials.find(connection, name, State.SHADOW))
    assert trial is not None

    assert stage.ask(lambda connection: mirrored.count(connection, traffic.lake, trial)) == 0


def test_a_task_without_a_validator_ends_not_known_and_goes_on_only_because_settings_say_so(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    answers = ("Let me think about the weather",) * 2
    rows = []
    for _ in range(20):
        rows += traffic.mirrored(
            (shadowed[0], answers[0]), (shadowed[1], answers[1]), "the weather", task="chat"
        )
    traffic.arrive("telemetry/calls", rows)

    materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    trial = stage.ask(lambda connection: trials.find(connection, shadowed[1], State.SHADOW))
    assert trial is not None
    assert trial.verdict == "not known"
    assert trial.evidence is not None
    assert trial.evidence["not known"] == ["chat"]
    assert "promote without a person" in trial.evidence["reason"]
    assert stage.release(shadowed[1]).state is State.CANARY


def test_a_candidate_that_chats_in_commands_is_turned_away_without_a_validator(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance
):
    name = candidate(stage, {"*": '{"intent": "HassTurnOn"}'})
    go_to(stage, name, State.EVALUATED)
    champion = stage.ask(registry.champion)
    assert champion is not None
    rows = []
    for _ in range(20):
        rows += traffic.mirrored(
            (champion.release, "Let me think about the weather"),
            (name, '{"intent": "HassTurnOn"}'),
            "the weather",
            task="chat",
        )
    traffic.arrive("telemetry/calls", rows)

    result = materialise(stage, shadow, instance)

    assert not verdicts(result)[shadow_gates.OTHERS]


class TestPeoplePromote:
    @pytest.fixture
    def gates(self) -> GateSettings:
        return GateSettings(shadow_pairs=20, promotion="person")

    def test_what_is_not_known_waits_for_a_person(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        shadowed: tuple[str, str],
    ):
        name = shadowed[1]
        rows = []
        for _ in range(20):
            rows += traffic.mirrored(
                (shadowed[0], "Let me think about lamps"),
                (name, "Let me think about lamps"),
                "lamps",
                task="chat",
            )
        traffic.arrive("telemetry/calls", rows)

        materialise(stage, shadow, instance)
        stage.step(2)
        assert stage.release(name).state is State.SHADOW
        step = stage.ask(lambda connection: requests.next_step(connection, name))
        go_to(stage, name, step)

        assert stage.release(name).state is State.CANARY
        last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
        assert (last.actor, last.evidence["shadow"]) == ("a test", "not known")
