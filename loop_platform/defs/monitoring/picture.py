"""Draws a drift report: where the prompts lie and how far each signal moved, without a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import numpy as np

from loop_platform.defs.monitoring.drift import Test, Vectors
from loop_platform.picture import markdown

_MOST_TASKS = 4
_DOTS = 200
_BEFORE, _NOW = "#9aa5b1", "#d9480f"


@dataclass(frozen=True)
class Panel:
    """What is drawn of one task."""

    task: str
    reference: Vectors
    current: Vectors
    tests: Sequence[Test]
    drifted: bool


def picture(panels: Sequence[Panel]) -> dg.MarkdownMetadataValue:
    """As metadata: a row a task, the drifted first, at most four."""
    from matplotlib.figure import Figure

    shown = sorted(panels, key=lambda panel: not panel.drifted)[:_MOST_TASKS]
    figure = Figure(figsize=(8, 2.6 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 2, squeeze=False)
    for (prompts, signals), panel in zip(axes, shown, strict=True):
        _draw_prompts(prompts, panel)
        _draw_signals(signals, panel)
    return markdown(figure, "drift")


def _draw_prompts(axes: Any, panel: Panel) -> None:  # noqa: ANN401  # matplotlib's, untyped here
    before, now = panel.reference[-_DOTS:], panel.current[-_DOTS:]
    axes.set_title(f"{panel.task}: prompts{' · DRIFT' if panel.drifted else ''}", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    if len(before) and len(now):
        both = np.concatenate([before, now])
        _, _, directions = np.linalg.svd(both - both.mean(0), full_matrices=False)
        places = (both - both.mean(0)) @ directions[:2].T
        for rows, colour, label in (
            (places[: len(before)], _BEFORE, f"before, n={len(panel.reference)}"),
            (places[len(before) :], _NOW, f"now, n={len(panel.current)}"),
        ):
            axes.scatter(rows[:, 0], rows[:, 1], s=6, color=colour, label=label, alpha=0.7)
        axes.legend(fontsize=7)


def _draw_signals(axes: Any, panel: Panel) -> None:  # noqa: ANN401  # matplotlib's, untyped here
    tests = list(panel.tests)[::-1]
    axes.set_title("distance of each signal (KS), * p < 0.01", fontsize=9)
    axes.set_xlim(0, 1)
    axes.tick_params(labelsize=7)
    names = [f"{test.name}{' *' if test.p_adjusted < 0.01 else ''}" for test in tests]
    colours = [_NOW if test.p_adjusted < 0.01 else _BEFORE for test in tests]
    axes.barh(names, [test.statistic for test in tests], color=colours)
