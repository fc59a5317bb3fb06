"""Champion and candidate side by side, as a picture for the asset's metadata."""

from collections.abc import Sequence

import dagster as dg

from loop_platform.defs.evaluation.evidence import Score
from loop_platform.picture import markdown
from loop_platform.statistics.proportions import Rate

_SIDES = (("champion", "#7f8c9b"), ("champion itself", "#c2c9d1"), ("candidate", "#2f6f4f"))


def picture(scores: Sequence[Score]) -> dg.MarkdownMetadataValue:
    """A bar a side for each score, with its 95 % interval and n."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.0 + 0.75 * len(scores)), layout="constrained")
    axes = figure.subplots()
    for at, score in enumerate(scores):
        sides = (score.champion, score.itself, score.candidate)
        shown = [
            (name, colour, rate)
            for (name, colour), rate in zip(_SIDES, sides, strict=True)
            if rate is not None and rate.rate is not None
        ]
        for step, (name, colour, rate) in enumerate(shown):
            place = at + (step - (len(shown) - 1) / 2) * 0.32
            axes.barh(place, rate.rate or 0.0, 0.3, color=colour, label=name)
            axes.errorbar(rate.rate or 0.0, place, xerr=_whiskers(rate), color="black", lw=1)
    axes.set_yticks(
        range(len(scores)), [f"{s.task}\nn {s.candidate.n}, {s.verdict}" for s in scores]
    )
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.set_xlabel("share, with 95 % intervals")
    labelled = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if labelled:
        axes.legend(labelled.values(), labelled.keys(), fontsize=8)
    return markdown(figure, "champion and candidate")


def _whiskers(rate: Rate) -> list[list[float]]:
    share = rate.rate or 0.0
    return [[max(0.0, share - rate.low)], [max(0.0, rate.high - share)]]
