"""The benchmarks that need no model run as they are typed, and end with the figures promised."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
