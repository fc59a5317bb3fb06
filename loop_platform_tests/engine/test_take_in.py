"""What was trained elsewhere becomes an adapter of the loop's own shape, or is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from loop_platform_tests.engine.programs import engine


@pytest.fixture(scope="module")
def report(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("brought")
    done = engine("-m", "loop_platform_tests.engine.brought", str(folder), str(tiny))
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_adapter_of_our_shape_stays_what_it_is(report: dict[str, Any]) -> None:
    assert report["back"]["held"] == 1
    assert report["back"]["apart"] < 1e-3
    assert report["again"] == report["back"]["sha256"]


def test_a_smaller_one_says_the_same_in_our_shape(report: dict[str, Any]) -> None:
    assert report["narrow"]["rank"] == 8
    assert report["narrow"]["held"] > 0.9999
    assert report["narrow"]["apart"] < 1e-3


@pytest.mark.parametrize("what", ["wide", "on top", "whole"])
def test_the_record_says_how_much_of_a_larger_change_is_held(
    report: dict[str, Any], what: str
) -> None:
    found = report[what]
    assert found["rank"] == 8
    assert 0.5 < found["held"] < 0.99
    assert found["apart"] == pytest.approx(1 - found["held"], abs=0.01)
    assert f"it holds {found['held']:.2%}" in found["card"]


def test_what_was_trained_on_an_adapter_names_it_as_parent(report: dict[str, Any]) -> None:
    assert report["on top"]["parent"] == report["back"]["sha256"]
    assert report["back"]["parent"] is None


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("pickled", "may be a pickle"),
        ("dora", "is no plain LoRA: its adapter_config.json sets use_dora"),
        ("head", "changes lm_head, which adapters of the loop leave alone"),
        ("another", "is an adapter of another model: see base_model.model.model.layers.2."),
        ("base", "changes nothing"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    report: dict[str, Any], what: str, why: str
) -> None:
    assert why in report["refused"][what]
    assert report["left behind"] == []
