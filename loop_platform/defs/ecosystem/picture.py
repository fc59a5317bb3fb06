"""Draws where the time of each cycle goes: a bar a cycle, a colour a stage."""

from collections.abc import Sequence

import dagster as dg

from loop_platform.picture import markdown
from loop_platform.turns import Turn

_LATEST = 12
_COLOURS = ("#1d7a74", "#5d8fc7", "#b9b7ad", "#8a74b8", "#d99b3f")


def stages(turns: Sequence[Turn]) -> dg.MarkdownMetadataValue:
    """As metadata; a sentence where there is no cycle."""
    shown = list(turns)[-_LATEST:]
    if not shown:
        return dg.MetadataValue.md("No cycle has opened yet.")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.9 + 0.4 * len(shown)), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(name for turn in shown for name in turn.stages_s))
    left = [0.0] * len(shown)
    for name, colour in zip(names, _COLOURS, strict=False):
        widths = [turn.stages_s.get(name, 0.0) / 60 for turn in shown]
        axes.barh([turn.cycle for turn in shown], widths, left=left, color=colour, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("minutes")
    axes.legend(frameon=False, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    return markdown(figure, "stages")
