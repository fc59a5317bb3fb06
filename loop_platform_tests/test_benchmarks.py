"""The simulated benchmark runs as it is typed, and ends with the figures that it promises."""

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
