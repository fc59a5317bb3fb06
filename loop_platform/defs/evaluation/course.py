"""How what is known of a front narrowed down, as a picture for the asset's metadata."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from loop_platform.picture import markdown
from loop_platform.statistics.fronts import ERROR, Evidence, Goal

_MOMENTS = 16
_COLOURS = {"band": "#2f6f4f", "goal": "#b4543a"}

Moment = tuple[int, float, float]
"""Pairs or calls, and the interval after them."""


@dataclass(frozen=True)
class Course:
    """A front from its first pairs on."""

    goal: Goal
    moments: Sequence[Moment]


def course(goal: Goal, after: Callable[[int], Evidence], n: int) -> Course:
    """The interval after some of the pairs, ever further apart, and after all `n`."""
    first = min(5, n)
    steps = (
        {round(first * (n / first) ** (at / (_MOMENTS - 1))) for at in range(_MOMENTS)} if n else ()
    )
    return Course(goal, [(step, *_bounds(after(step))) for step in sorted(steps)])


def picture(courses: Mapping[str, Course]) -> dg.MarkdownMetadataValue:
    """Each front's interval against the pairs or calls seen, with what it has to stay above."""
    from matplotlib.figure import Figure

    shown = {name: each for name, each in courses.items() if each.moments}
    rows = max(1, -(-len(shown) // 2))
    figure = Figure(figsize=(8, 0.4 + 1.9 * rows), layout="constrained")
    for axes, (name, each) in zip(
        figure.subplots(rows, 2, squeeze=False).flat, shown.items(), strict=False
    ):
        n, low, high = zip(*each.moments, strict=True)
        axes.fill_between(n, low, high, color=_COLOURS["band"], alpha=0.35, linewidth=0)
        axes.axhline(0, color="black", lw=0.6)
        axes.axhline(each.goal.lost_below, color=_COLOURS["goal"], lw=1, ls="--")
        # The first few pairs say nothing, and would flatten everything that came after.
        later = max(abs(bound) for _, *bounds in each.moments[-12:] for bound in bounds)
        axes.set_ylim(-1.05 * later, 1.05 * later)
        axes.set_xscale("log")
        axes.set_title(f"{name}: {each.goal.aim}", fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in list(figure.axes)[len(shown) :]:
        axes.set_visible(False)
    figure.supxlabel("pairs or calls; candidate minus champion, 95 % at all looks", fontsize=8)
    return markdown(figure, "what is known of each front, over time")


def _bounds(seen: Evidence) -> tuple[float, float]:
    return round(seen.lower(ERROR), 4), round(seen.upper(ERROR), 4)
