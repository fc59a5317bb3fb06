"""The demo's judgement: it says that the loop closed only when every bar is met."""

import copy
from typing import Any

import pytest

from examples.home_assistant.report import report

Figures = dict[str, Any]


def _rate(rate: float, n: int) -> Figures:
    return {"rate": rate, "n": n, "low": max(0.0, rate - 0.05), "high": min(1.0, rate + 0.05)}


def _turn(cycle: str, agreement: float, state: str) -> Figures:
    return {
        "cycle": cycle,
        "release": f"r-{cycle}",
        "release_state": state,
        "corrections": {"train": 320, "heldout": 80},
        "correction_parts_s": {},
        "stages_s": {"curation and training": 300.0},
        "correction_to_production_s": {"n": 400, "p50": 500.0, "p95": 640.0, "max": 660.0},
        "scores": [
            {
                "metric": "agreement with the champion",
                "self": _rate(0.98, 200),
                "candidate": _rate(agreement, 200),
            }
        ],
    }


def _release(*states: str) -> Figures:
    moves = [{"to_state": state, "reason": "because", "evidence": {}} for state in states]
    return {"release": "r-1", "state": states[-1], "drill": False, "moves": moves}


@pytest.fixture
def figures() -> Figures:
    measured = {name: _rate(0.0, 250) for name in ("all", "seen", "unseen")}
    learnt = {name: _rate(0.7, 250) for name in ("all", "seen", "unseen")}
    return {
        "task_before": measured,
        "task_after": learnt,
        "few_shot_guided": _rate(0.05, 100),
        "cycles": [_turn("0001", 0.95, "champion")],
        "drill": _turn("0001-drill", 0.4, "rejected"),
        "drill_release": _release("registered", "rejected"),
        "first_release": _release("registered", "evaluated", "shadow", "canary", "champion"),
        "production": {"0001": {"n": 400, "p50": 501.0, "p95": 642.0, "max": 661.0}},
        "review": {},
        "reviewer": {},
        "simulated_users": {"users": 240},
        "seconds": 1200.0,
    }


def test_a_loop_that_met_every_bar_closed_honestly(figures: Figures) -> None:
    assert report(figures)["closed_honestly"]


def test_the_report_has_the_promised_names(figures: Figures) -> None:
    document = report(figures)
    for when in ("before", "after"):
        assert document["task_success"][when].keys() == {"rate", "n", "low", "high"}
        assert document["task_success_unseen_templates"][when]
    assert document["retention"].keys() >= {"self", "ours", "plain"}
    assert document["rejected_candidate"]["state"] == "rejected"
    assert document["correction_to_production_s"].keys() >= {"p50", "p95", "max"}
    assert [turn["cycle"] for turn in document["cycles"]] == ["0001", "0001-drill"]


def _drill_promoted(figures: Figures) -> None:
    figures["drill_release"] = _release("registered", "evaluated", "shadow", "canary", "champion")


def _drill_kept_chat(figures: Figures) -> None:
    figures["drill"]["scores"][0]["candidate"] = _rate(0.97, 200)


def _chat_lost(figures: Figures) -> None:
    figures["cycles"][0]["scores"][0]["candidate"] = _rate(0.9, 200)


def _chat_not_measured(figures: Figures) -> None:
    figures["cycles"][0]["scores"] = []


def _few_prompts(figures: Figures) -> None:
    figures["cycles"][0]["scores"][0]["candidate"]["n"] = 60


def _knew_before(figures: Figures) -> None:
    figures["task_before"]["all"] = _rate(0.4, 250)


def _learnt_little(figures: Figures) -> None:
    figures["task_after"]["all"] = _rate(0.49, 250)


def _skipped_canary(figures: Figures) -> None:
    figures["first_release"] = _release("registered", "evaluated", "shadow", "champion")


def _too_slow(figures: Figures) -> None:
    figures["cycles"][0]["correction_to_production_s"]["p95"] = 901.0


def _clocks_differ(figures: Figures) -> None:
    figures["production"]["0001"]["p95"] = 700.0


def _never_in_production(figures: Figures) -> None:
    figures["cycles"][0]["correction_to_production_s"] = None


def _few_users(figures: Figures) -> None:
    figures["simulated_users"]["users"] = 199


@pytest.mark.parametrize(
    "spoil",
    [
        _drill_promoted,
        _drill_kept_chat,
        _chat_lost,
        _chat_not_measured,
        _few_prompts,
        _knew_before,
        _learnt_little,
        _skipped_canary,
        _too_slow,
        _clocks_differ,
        _never_in_production,
        _few_users,
    ],
)
def test_one_bar_missed_and_it_did_not_close(figures: Figures, spoil: Any) -> None:
    spoilt = copy.deepcopy(figures)
    spoil(spoilt)
    document = report(spoilt)
    assert not document["closed_honestly"]
    assert any(not bar["met"] for bar in document["bars"])
