"""The shadow as real runs, on pairs that lie in telemetry."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from loop_platform.defs.evaluation import mirrored, shadow_gates
from loop_platform.defs.evaluation.judges import judges
from loop_platform.defs.evaluation.sensors import shadow_complete
from loop_platform.defs.evaluation.shadow import shadow
from loop_platform.defs.resources import resources
from loop_platform.judging import people
from loop_platform.release import registry, requests, trials
from loop_platform.release.states import State
from loop_platform.settings import (
    Front,
    Fronts,
    FrontSettings,
    GateSettings,
    JudgingSettings,
    TaskFronts,
    TaskJudging,
)
from loop_platform_tests.curation.accepting import accepted
from loop_platform_tests.evaluation.cycle import (
    candidate,
    go_to,
    learnt,
    materialise,
    settle,
    verdicts,
)
from loop_platform_tests.evaluation.test_sensors import tick
from loop_platform_tests.evaluation.traffic import RELIABLE, Traffic
from loop_platform_tests.evaluation.validator import intent
from loop_platform_tests.judging.endpoint import Endpoint, better, listening
from loop_platform_tests.release.stage import Stage
from loop_platform_tests.review.queues import corrected


@pytest.fixture
def shadowed(stage: Stage) -> tuple[str, str]:
    """Champion, and a candidate in shadow."""
    name = candidate(stage, learnt())
    go_to(stage, name, State.EVALUATED)
    champion = stage.ask(registry.champion)
    assert champion is not None
    return champion.release, name


@pytest.fixture
def forgetful(stage: Stage) -> tuple[str, str]:
    """Champion, and a candidate in shadow that answers everything with a command."""
    name = candidate(stage, learnt() | {"*": '{"intent": "HassTurnOn"}'})
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


def chatted(traffic: Traffic, sides: tuple[str, str], count: int, answers: tuple[str, str]) -> None:
    """Pairs of a task that no validator judges."""
    rows = []
    for _ in range(count):
        old, new = answers
        rows += traffic.mirrored((sides[0], old), (sides[1], new), "the weather", task="chat")
    traffic.arrive("telemetry/calls", rows)


def trial_of(stage: Stage, name: str) -> trials.Trial:
    trial = stage.ask(lambda connection: trials.find(connection, name, State.SHADOW))
    assert trial is not None
    return trial


def test_a_candidate_that_wins_its_pairs_goes_on_to_the_canary(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 20, ("prose", "{intent}"))

    result = materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    assert result.success
    assert verdicts(result) == dict.fromkeys(shadow_gates.NAMES, True)
    assert stage.release(shadowed[1]).state is State.CANARY
    trial = trial_of(stage, shadowed[1])
    assert trial.verdict == "passed"
    assert trial.evidence is not None
    assert {name: front["verdict"] for name, front in trial.evidence["fronts"].items()} == {
        "completion of what was corrected": "won",
        "completion of commands": "won",
        "reliability": "held",
        "cost": "won",
    }
    assert [score["candidate"]["n"] for score in trial.evidence["scores"]] == [20, 20]
    assert trial.evidence["courses"]["cost"][-1][0] == 20
    [made] = result.asset_materializations_for_node("evaluation__shadow")
    assert "data:image/png" in str(made.metadata["picture"].value)


def test_what_is_not_settled_goes_on_until_it_is(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 20, ("{intent}", "{intent}"))

    first = materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    assert first.success, "a front that is not known yet is no failure of the look"
    assert not verdicts(first)[shadow_gates.WON]
    between = trial_of(stage, shadowed[1])
    assert (between.verdict, between.looked_at, between.next_look) == (None, 20, 25)
    assert stage.release(shadowed[1]).state is State.SHADOW

    mirror(traffic, shadowed, 20, ("prose", "{intent}"))
    materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    after = trial_of(stage, shadowed[1])
    assert (after.verdict, after.looked_at) == ("passed", 40)
    assert stage.release(shadowed[1]).state is State.CANARY


@pytest.fixture
def asked(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a dot for each answer that the validator is asked about."""
    monkeypatch.setenv("COUNTED", str(tmp_path / "asked"))
    judge = {"commands": "loop_platform_tests.evaluation.validator:counted"}
    stage.settings = stage.settings.model_copy(update={"validators": judge})
    return tmp_path / "asked"


def test_a_look_judges_the_new_pairs_alone(
    stage: Stage,
    traffic: Traffic,
    instance: dg.DagsterInstance,
    shadowed: tuple[str, str],
    asked: Path,
):
    mirror(traffic, shadowed, 20, ("{intent}", "{intent}"))
    materialise(stage, shadow, instance)
    mirror(traffic, shadowed, 5, ("{intent}", "{intent}"))

    result = materialise(stage, shadow, instance)

    assert asked.read_text().count(".") == 2 * 25, "both answers of each pair, once"
    [made] = result.asset_materializations_for_node("evaluation__shadow")
    assert made.metadata["pairs"].value == 25
    assert trial_of(stage, shadowed[1]).looked_at == 25


def test_what_a_release_of_the_same_cycle_showed_before_does_not_count(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    before = pl.DataFrame({"pair_id": ["0"], "told": [True]})
    traffic.lake.write(before, "evaluation/shadow/0001.parquet")
    mirror(traffic, shadowed, 20, ("prose", "{intent}"))

    result = materialise(stage, shadow, instance)

    assert result.success
    assert trial_of(stage, shadowed[1]).looked_at == 20


def test_what_is_not_known_when_the_budget_is_spent_does_not_pass(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 75, ("{intent}", "{intent}"))

    result = materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    trial = trial_of(stage, shadowed[1])
    assert (trial.verdict, trial.looked_at) == ("not known", 60)
    last = stage.ask(lambda connection: registry.moves(connection, shadowed[1]))[-1]
    assert last.to_state is State.REJECTED
    assert last.reason.startswith("the budget of 60 is spent, not known yet: completion of what")
    assert not result.success


def test_a_candidate_that_loses_its_pairs_is_turned_away(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 10, ("{intent}", "{intent}"))
    mirror(traffic, shadowed, 15, ("{intent}", "prose"))

    result = materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    assert not result.success
    assert not verdicts(result)[shadow_gates.WON]
    assert stage.release(shadowed[1]).state is State.REJECTED


def test_the_goal_is_not_moved_while_a_trial_runs(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 20, ("{intent}", "{intent}"))
    watched = Front(aim="watch")
    everywhere = Fronts(completion=watched, reliability=watched, cost=watched)
    loose = FrontSettings(focus=watched, everywhere=everywhere)
    gates = stage.settings.gates.model_copy(update={"fronts": loose, "shadow_budget": 20})
    stage.settings = stage.settings.model_copy(update={"gates": gates})

    materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    assert trial_of(stage, shadowed[1]).verdict is None
    assert stage.release(shadowed[1]).state is State.SHADOW


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
    assert trial_of(stage, name).verdict == "failed"


def test_calls_that_the_champion_did_not_answer_are_no_pairs(
    stage: Stage, traffic: Traffic, shadowed: tuple[str, str]
):
    champion, name = shadowed
    call, twin = traffic.mirrored((champion, ""), (name, "prose"), "turn on lamp 1")
    traffic.arrive("telemetry/calls", [call | {"status": 503}, twin])
    trial = stage.ask(lambda connection: trials.find(connection, name, State.SHADOW))
    assert trial is not None

    assert stage.ask(lambda connection: mirrored.count(connection, traffic.lake, trial)) == 0


def test_a_candidate_that_chats_in_commands_is_turned_away_without_a_validator(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, forgetful: tuple[str, str]
):
    chatted(traffic, forgetful, 20, ("Let me think about the weather", '{"intent": "HassTurnOn"}'))

    result = materialise(stage, shadow, instance)

    assert not verdicts(result)[shadow_gates.SLICES]
    assert trial_of(stage, forgetful[1]).verdict == "failed"


def test_a_task_that_nobody_can_judge_does_not_pass_by_itself(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    mirror(traffic, shadowed, 30, ("prose", "{intent}"))
    chatted(traffic, shadowed, 30, ("Let me think about the weather",) * 2)

    materialise(stage, shadow, instance)
    settle(stage, shadowed[1])

    trial = trial_of(stage, shadowed[1])
    assert trial.verdict == "not known"
    assert trial.evidence is not None
    assert trial.evidence["not known"] == ["completion of chat"]
    assert stage.release(shadowed[1]).state is State.REJECTED


def test_the_champion_is_asked_again_once_for_a_call_however_often_one_looks(
    stage: Stage, traffic: Traffic, instance: dg.DagsterInstance, shadowed: tuple[str, str]
):
    # It was said otherwise than the champion says it now, so itself it is not like.
    said = ("It will rain", "Let me think about the weather")
    chatted(traffic, shadowed, 30, said)
    materialise(stage, shadow, instance)
    chatted(traffic, shadowed, 25, said)

    materialise(stage, shadow, instance)

    kept = traffic.lake.read("evaluation/shadow/0001.parquet")
    assert (kept.height, kept["alike"].count(), kept["itself"].sum()) == (55, 40, 0)
    assert kept["alike"].head(40).null_count() == 0


class TestATaskIsOnlyWatched:
    @pytest.fixture
    def gates(self) -> GateSettings:
        watched = TaskFronts(completion=Front(aim="watch"))
        return GateSettings(
            shadow_pairs=20,
            shadow_budget=60,
            fronts=FrontSettings(everywhere=RELIABLE, tasks={"chat": watched}),
            promotion="automatic",
        )

    def test_nothing_has_to_be_shown_of_it(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        shadowed: tuple[str, str],
    ):
        mirror(traffic, shadowed, 30, ("prose", "{intent}"))
        chatted(traffic, shadowed, 10, ("Let me think about the weather",) * 2)

        materialise(stage, shadow, instance)
        settle(stage, shadowed[1])

        assert trial_of(stage, shadowed[1]).verdict == "passed"
        assert stage.release(shadowed[1]).state is State.CANARY

    def test_it_can_be_lost_all_the_same(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        forgetful: tuple[str, str],
    ):
        mirror(traffic, forgetful, 30, ("prose", "{intent}"))
        chatted(
            traffic, forgetful, 20, ("Let me think about the weather", '{"intent": "HassTurnOn"}')
        )

        materialise(stage, shadow, instance)
        settle(stage, forgetful[1])

        assert stage.release(forgetful[1]).state is State.REJECTED


class TestPeoplePromote:
    @pytest.fixture
    def gates(self) -> GateSettings:
        fronts = FrontSettings(everywhere=RELIABLE)
        return GateSettings(shadow_pairs=20, shadow_budget=20, fronts=fronts, promotion="person")

    def test_what_is_not_known_waits_for_a_person(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        shadowed: tuple[str, str],
    ):
        name = shadowed[1]
        mirror(traffic, shadowed, 20, ("{intent}", "{intent}"))

        result = materialise(stage, shadow, instance)
        stage.step(2)
        assert result.success
        assert stage.release(name).state is State.SHADOW
        step = stage.ask(lambda connection: requests.next_step(connection, name))
        go_to(stage, name, step)

        assert stage.release(name).state is State.CANARY
        last = stage.ask(lambda connection: registry.moves(connection, name))[-1]
        assert (last.actor, last.evidence["shadow"]) == ("a test", "not known")


class TestATaskIsJudgedPairByPair:
    @pytest.fixture
    def endpoint(self) -> Iterator[Endpoint]:
        with listening(better(lambda answer: "rain" in answer)) as found:
            yield found

    def test_by_a_judge_that_says_what_people_say(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        shadowed: tuple[str, str],
        endpoint: Endpoint,
    ):
        judging = JudgingSettings(
            judges={"strict": endpoint.settings()},
            tasks={"chat": TaskJudging(judge="strict", people=False)},
            least_decisions=10,
        )
        stage.settings = stage.settings.model_copy(update={"judging": judging})
        mirror(traffic, shadowed, 30, ("prose", "{intent}"))
        chatted(traffic, shadowed, 30, ("Let me think about the weather", "It will rain"))
        accepted(
            stage.database,
            *(corrected(f"weather {n}", f"rain {n}", f"user-{n}", task="chat") for n in range(20)),
        )

        [calibrated] = dg.materialize(
            [judges], resources=resources(stage.settings), instance=instance
        ).asset_materializations_for_node("evaluation__judges")
        result = materialise(stage, shadow, instance)
        settle(stage, shadowed[1])

        assert "| chat | strict | 100.0% (n 20" in str(calibrated.metadata["judges"].value)
        assert "data:image/png" in str(calibrated.metadata["picture"].value)
        trial = trial_of(stage, shadowed[1])
        assert (trial.verdict, stage.release(shadowed[1]).state) == ("passed", State.CANARY)
        assert trial.evidence is not None
        assert trial.evidence["fronts"]["completion of chat"]["verdict"] == "won"
        [by] = trial.evidence["judging"]["chat"]["by"].items()
        assert by[0].startswith("judge strict ")
        assert by[1] == 30
        found = {score["metric"]: score for score in trial.evidence["scores"]}["found better"]
        assert (found["champion"]["rate"], found["candidate"]["rate"]) == (0, 1)
        assert result.success

    def test_by_people_for_whom_the_trial_waits(
        self,
        stage: Stage,
        traffic: Traffic,
        instance: dg.DagsterInstance,
        shadowed: tuple[str, str],
    ):
        judging = JudgingSettings(tasks={"chat": TaskJudging()})
        stage.settings = stage.settings.model_copy(update={"judging": judging})
        name = shadowed[1]
        mirror(traffic, shadowed, 30, ("prose", "{intent}"))
        chatted(traffic, shadowed, 30, ("Let me think about the weather", "It will rain"))

        materialise(stage, shadow, instance)

        trial = trial_of(stage, name)
        assert (trial.verdict, trial.looked_at) == (None, 60), "its budget is spent, and it waits"
        assert trial.evidence is not None
        assert trial.evidence["reason"].endswith("30 of 30 pairs of chat wait for a verdict")
        assert isinstance(tick(shadow_complete, stage, instance), dg.SkipReason)

        pairs = traffic.lake.read("evaluation/shadow/0001.parquet").filter(task="chat")["pair_id"]
        with stage.database.begin() as connection:
            for pair_id in pairs:
                left = people.show(connection, "ada", name, "chat", pair_id)
                people.say(connection, "ada", pair_id, "left" if left == "candidate" else "right")
        assert isinstance(tick(shadow_complete, stage, instance), dg.SensorResult)
        materialise(stage, shadow, instance)
        settle(stage, name)

        assert trial_of(stage, name).verdict == "passed"
        assert stage.release(name).state is State.CANARY
