"""What pairs say of each front, and what settings ask of it."""

import json
from pathlib import Path

import polars as pl
import pytest

from loop_platform.defs.evaluation.outcomes import relative_cost, with_outcomes
from loop_platform.defs.evaluation.shadow_fronts import fronts, readings
from loop_platform.settings import Front, Fronts, FrontSettings, GateSettings, Settings, TaskFronts
from loop_platform_tests.evaluation.validator import intent, is_intent


def pairs(task: str, count: int, champion: str, candidate: str, **fields: object) -> pl.DataFrame:
    prompt = "turn on lamp 1"
    row = {
        "task": task,
        "request": json.dumps({"messages": [{"role": "user", "content": prompt}]}),
        "champion_answer": champion.replace("{intent}", intent(prompt)),
        "candidate_answer": candidate.replace("{intent}", intent(prompt)),
        "champion_tokens": 10,
        "candidate_tokens": 10,
        "failed": False,
        **fields,
    }
    return pl.DataFrame([row] * count)


def judged(*parts: pl.DataFrame) -> pl.DataFrame:
    return with_outcomes(pl.concat(parts), {"commands": is_intent, "other": is_intent})


def test_each_task_is_a_slice_and_the_corrected_ones_are_won_together():
    outcomes = judged(
        pairs("commands", 30, "prose", "{intent}"), pairs("other", 150, "{intent}", "{intent}")
    )

    found = readings(fronts(outcomes, ["commands"], FrontSettings()))

    assert {name: str(each.verdict) for name, each in found.items()} == {
        "completion of what was corrected": "won",
        "completion of commands": "won",
        "completion of other": "held",
        "reliability": "not known",
        "cost": "won",
    }


@pytest.mark.parametrize(
    ("pairs_seen", "failing", "verdict"),
    [
        (200, 0, "not known"),
        (300, 0, "held"),
        (400, 8, "not known"),  # two in a hundred, the margin itself
        (5000, 100, "not known"),
        (400, 40, "lost"),
    ],
)
def test_a_candidate_shows_that_it_answers_before_it_passes(
    pairs_seen: int, failing: int, verdict: str
):
    """A guardrail ends what fails more often for sure; to pass, the burden of proof is reversed."""
    outcomes = judged(
        pairs("commands", pairs_seen - failing, "prose", "{intent}"),
        *([pairs("commands", failing, "prose", "", failed=True)] if failing else []),
    )

    found = readings(fronts(outcomes, ["commands"], FrontSettings()))

    assert found["reliability"].verdict == verdict


def test_a_gain_on_one_task_does_not_pay_for_a_loss_on_another():
    outcomes = judged(
        pairs("commands", 60, "prose", "{intent}"), pairs("other", 20, "{intent}", "prose")
    )

    found = readings(fronts(outcomes, ["commands", "other"], FrontSettings()))

    assert found["completion of what was corrected"].verdict == "won"
    assert found["completion of other"].verdict == "lost"


def test_a_corrected_task_that_nobody_asked_for_is_not_known():
    outcomes = judged(pairs("other", 40, "{intent}", "{intent}"))

    found = readings(fronts(outcomes, ["commands"], FrontSettings()))

    assert found["completion of what was corrected"].verdict == "not known"
    assert found["completion of commands"].verdict == "not known"


def test_likeness_can_speak_against_a_candidate_and_never_for_it():
    outcomes = judged(pairs("chat", 40, "a", "b"))

    def verdict(itself: bool, alike: bool) -> str:
        compared = outcomes.with_columns(itself=pl.lit(itself), alike=pl.lit(alike))
        return readings(fronts(compared, [], FrontSettings()))["completion of chat"].verdict

    assert verdict(itself=True, alike=False) == "lost"
    assert verdict(itself=False, alike=True) == "not known"


def test_a_task_says_otherwise_than_everywhere():
    settings = FrontSettings(
        everywhere=Fronts(completion=Front(margin=0.02)),
        tasks={"chat": TaskFronts(completion=Front(aim="watch"), cost=Front(margin=0.3))},
    )
    outcomes = judged(pairs("chat", 5, "a", "b"), pairs("other", 5, "a", "b"))

    found = fronts(outcomes, [], settings)

    assert found["completion of chat"].goal.aim == "watch"
    assert found["completion of other"].goal.margin == 0.02
    assert found["cost"].goal.margin == 0.1
    assert (found["cost of chat"].goal.margin, len(found["cost of chat"].values)) == (0.3, 5)


@pytest.mark.parametrize(
    ("champion", "candidate", "failed", "tokens", "cost"),
    [
        (True, True, False, (30, 10), 0.5),
        (True, True, False, (10, 30), -0.5),
        (False, True, False, (1, 90), 1.0),
        (True, False, False, (90, 1), -1.0),
        (False, False, False, (1, 90), None),
        (True, True, False, (None, 10), None),
        (None, None, False, (10, 30), -0.5),
        (None, None, True, (10, None), -1.0),
    ],
)
def test_cost_is_per_completed_task(
    champion: bool | None,
    candidate: bool | None,
    failed: bool,
    tokens: tuple[int | None, int | None],
    cost: float | None,
):
    assert relative_cost(champion, candidate, failed, *tokens) == cost


def test_a_pair_that_the_validator_cannot_tell_says_nothing_of_completion():
    outcomes = with_outcomes(pairs("commands", 3, "a", "b"), {"commands": lambda *_: None})

    assert outcomes["champion"].null_count() == outcomes["candidate"].null_count() == 3
    assert outcomes["cost"].to_list() == [0.0] * 3


def test_by_default_what_was_corrected_is_won_and_everything_else_held():
    declared = GateSettings().fronts

    assert declared.focus.aim == "win"
    assert {declared.of(name).aim for name in Fronts.model_fields} == {"hold"}  # type: ignore[arg-type]


def test_fronts_are_declared_in_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "loop.toml").write_text(
        """
        [gates.fronts]
        focus = { aim = "hold", margin = 0.01 }
        [gates.fronts.everywhere]
        cost = { margin = 0.2 }
        [gates.fronts.tasks.chat]
        completion = { aim = "watch" }
        """
    )
    monkeypatch.setenv("LOOP_SETTINGS", str(tmp_path / "loop.toml"))

    declared = Settings().gates.fronts

    assert declared.focus == Front(aim="hold", margin=0.01)
    assert (declared.of("cost").margin, declared.of("latency").margin) == (0.2, 0.05)
    assert declared.of("completion", "chat").aim == "watch"
    assert FrontSettings.model_validate(declared.model_dump(mode="json")) == declared


def test_a_budget_below_the_least_is_refused():
    with pytest.raises(ValueError, match="shadow_budget = 50 is less than shadow_pairs = 100"):
        GateSettings(shadow_budget=50)
