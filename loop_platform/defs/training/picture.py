"""The course of a training, for the asset's metadata."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from loop_platform.picture import markdown

_CURVES = (
    ("surprise", "loss on the corrections (nats a token)", "#2f6f4f"),
    ("divergence", "divergence from the champion (nats a token)", "#b5651d"),
    ("learning_rate", "learning rate", "#7f8c9b"),
)


def course(record: Mapping[str, Any]) -> dg.MarkdownMetadataValue:
    """Loss, divergence and learning rate over the optimiser's steps.

    A line marks the state that was kept, where it is not the last.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.6), layout="constrained")
    for axes, (name, title, colour) in zip(figure.subplots(1, 3), _CURVES, strict=True):
        known = [
            (point["step"], point[name]) for point in record["curve"] if point[name] is not None
        ]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, lw=1)
        if record["kept_after"] is not None:
            axes.axvline(record["kept_after"], color="black", lw=0.8, ls="--")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.set_ylim(bottom=0)
    return markdown(figure, "loss, divergence and learning rate")
