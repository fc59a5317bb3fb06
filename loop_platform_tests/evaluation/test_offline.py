"""The offline gates as a real run, on engines whose answers are known."""

import dagster as dg

from loop_platform.defs.evaluation import leak, offline_gates
from loop_platform.defs.evaluation.offline import offline
from loop_platform.release import registry, requests
from loop_platform.release.states import State
from loop_platform_tests.evaluation.cycle import candidate, learnt, materialise, settle, verdicts
from loop_platform_tests.release.stage import Stage
from loop_platform_tests.release.test_controller import ready


def test_a_candidate_that_learnt_and_forgot_nothing_passes_every_gate(
    stage: Stage, instance: dg.DagsterInstance
):
    name = candidate(stage, learnt())

    result = materialise(stage, offline, instance)
    settle(stage, name)

    assert result.success
    assert verdicts(result) == dict.fromkeys((*offline_gates.NAMES, leak.UNSEEN), True)
    moved = stage.ask(lambda connection: registry.moves(connection, name))
    assert [move.to_state for move in moved][:2] == [State.REGISTERED, State.EVALUATED]
    scores = {score["task"]: score for score in moved[1].evidence["scores"]}
    assert scores["all corrections"]["candidate"]["rate"] == 1.0
    assert scores["all corrections"]["candidate"]["n"] == 30
    assert scores["all corrections"]["champion"]["high"] < 0.2
    assert scores["general prompts"]["self"]["rate"] == 1.0
    by_mode = moved[1].evidence["modes"]
    assert by_mode["mended"] == ["commands: lamp, on, turn (commands-0001)"]
    assert by_mode["worse"] == []
    tested, untested = by_mode["each"]
    assert (tested["trained_on"], tested["candidate"]["n"]) == (6, 30)
    assert tested["difference"]["low"] > 0.8
    assert (untested["trained_on"], untested["candidate"]["n"]) == (4, 0)
    assert untested["verdict"] == "not known"


def test_a_candidate_that_answers_everything_with_a_command_is_refused_for_forgetting(
    stage: Stage, instance: dg.DagsterInstance
):
    name = candidate(stage, learnt() | {"*": '{"intent": "HassTurnOn"}'}, drill=True)

    result = materialise(stage, offline, instance)
    settle(stage, name)

    assert not result.success
    refused = [gate for gate, passed in verdicts(result).items() if not passed]
    assert refused == [offline_gates.GENERAL]
    assert stage.release(name).state is State.REJECTED
    last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
    assert offline_gates.GENERAL in last.reason


def test_a_candidate_that_learnt_nothing_is_refused(stage: Stage, instance: dg.DagsterInstance):
    name = candidate(stage, {"*": "Let me think about {prompt}"})

    result = materialise(stage, offline, instance)
    settle(stage, name)

    assert [g for g, passed in verdicts(result).items() if not passed] == [offline_gates.WON]
    assert stage.release(name).state is State.REJECTED


def test_the_champions_answers_to_the_suites_are_asked_once(
    stage: Stage, instance: dg.DagsterInstance
):
    name = candidate(stage, learnt())
    first = materialise(stage, offline, instance)
    settle(stage, name)

    second = materialise(stage, offline, instance)

    [before] = first.asset_materializations_for_node("evaluation__offline")
    [after] = second.asset_materializations_for_node("evaluation__offline")
    assert before.metadata["answers known beforehand"].value == 0
    assert after.metadata["answers known beforehand"].value == 28 + 12
    assert "nothing asked" in str(after.metadata["asked for"].value)


def test_a_candidate_without_an_engine_fails_the_run_and_asks_for_nothing(
    stage: Stage, instance: dg.DagsterInstance
):
    name = candidate(stage, learnt())
    stage.engines.stop("engine-b")
    stage.until(lambda connection: not ready(name)(connection))

    result = materialise(stage, offline, instance)

    assert not result.success
    assert stage.ask(lambda connection: requests.pending(connection, name)) == []
