"""Benchmarks run as they are typed, and end with the figures that they promise."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from loop_platform_tests.engine.programs import tiny_model

ROOT = Path(__file__).parents[1]
FIGURES = [
    "null_promoted_max",
    "regression_3pt_promoted_max",
    "exposure_max",
    "median_pairs_over_fixed",
    "coverage_min",
]


def test_decisions_end_with_every_figure_beside_the_rivals() -> None:
    """Too few runs to say anything: that each figure is there and possible is what is tested."""
    run = subprocess.run(
        [sys.executable, "benchmarks/decisions.py", "--runs", "20", "--pairs", "200", "--json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    line = json.loads(run.stdout.splitlines()[-1])

    for figure in FIGURES:
        rivals = [value for name, value in line.items() if name.startswith(f"{figure}_")]
        assert len(rivals) >= 2, figure
        assert all(value >= 0 for value in (line[figure], *rivals)), figure
    assert line["exposure_max"] <= 0.05
    assert "costs most" in run.stdout


def test_a_promotion_that_is_killed_leaves_one_champion_and_a_whole_audit_log() -> None:
    """One kill by the clock, one at a statement; the benchmark's default is fifty."""
    run = subprocess.run(
        [sys.executable, "benchmarks/promotion.py", "--kills", "2", "--workers", "2", "--json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    line = json.loads(run.stdout.splitlines()[-1])
    assert (line["kills"], line["moves_with_faults"]) == (2, 0)
    assert line["looks"] > line["looks_without_one_champion"] == 0
    assert line["calls"] > 0
    assert (line["calls_failed"], line["calls_answered_by_another"]) == (0, 0)


def test_focus_ends_with_every_figure_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """A model that learns nothing from a few rows: that every step runs is what is tested."""
    base, work = tiny_model(tmp_path / "tiny"), tmp_path / "work"
    command = [sys.executable, "benchmarks/focus.py", "--quick", "--json", "--cycles", "2"]
    command += ["--base", str(base), "--work", str(work)]

    def run() -> tuple[dict[str, Any], str]:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    figures, _ = run()

    for name in ("focus_success", "focus_success_unseen_templates"):
        assert figures[name].keys() == {"champion", "few_shot", "plain", "ours", "n"}
        assert figures[name]["n"] == 4
    for name in ("max_task_loss_points", "kl_to_champion"):
        assert figures[name].keys() == {"plain", "ours"}
    assert figures["cycle_seconds"] > 0
    assert figures["tokens_per_s_over_trl"] > 0
    assert len(figures["by_release"]["commands-1.seen"]) == 2
    assert figures["max_backward_loss_points"] >= 0
    assert figures["at_the_floor"] == ["functions", "support"]
    assert {row["messages"][1]["content"] for row in _rows(work, "seen")}.isdisjoint(
        row["messages"][1]["content"] for row in _rows(work, "train")
    )

    again, said = run()

    assert again == figures
    assert "on two cores" not in said, "a step was made twice"


def _rows(work: Path, part: str) -> list[dict[str, Any]]:
    [tasks] = work.glob("tasks-*")
    text = (tasks / f"commands-1.{part}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]
