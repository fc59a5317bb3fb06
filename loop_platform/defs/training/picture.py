"""The loss curve, for the asset's metadata."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from loop_platform.picture import markdown

_CURVES = (
    ("surprise", "loss on the corrections (nats a token)", "#2f6f4f"),
    ("divergence", "divergence from the champion (nats a token)", "#b5651d"),
)


def loss_curve(points: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Loss and divergence over the optimiser's steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    for axes, (name, title, colour) in zip(figure.subplots(1, 2), _CURVES, strict=True):
        known = [(point["step"], point[name]) for point in points if point[name] is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, lw=1)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.set_ylim(bottom=0)
    return markdown(figure, "loss curve")
