"""The course of a training, for the asset's metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from loop_platform.picture import markdown

_BLUE = "#2b5f8a"


@dataclass(frozen=True)
class _Curve:
    name: str
    """Of a point of the record's curve."""
    title: str
    colour: str
    held_apart: str | None = None
    """The same of the states that were measured on rows held apart."""
    whole: float | None = None
    """What is drawn at most, where that says something."""


_CURVES = (
    _Curve("surprise", "loss on the corrections (nats a token)", "#2f6f4f", "surprise"),
    _Curve("exact", "focus (share word by word)", _BLUE, "exact", whole=1.0),
    _Curve("earlier", "earlier corrections (share)", "#7a4f8a", "earlier", whole=1.0),
    _Curve("divergence", "from the champion (nats a token)", "#b5651d", "divergence"),
    _Curve("learning_rate", "learning rate", "#7f8c9b"),
)


def course(record: Mapping[str, Any]) -> dg.MarkdownMetadataValue:
    """Loss, focus, retention and learning rate over the optimiser's steps.

    Lines are of what was learnt from, dots of the states that were measured on rows held apart. A
    dashed line marks the state that was kept, a dotted one the most that it may be from the
    champion.
    """
    from matplotlib.figure import Figure

    seen = [curve for curve in _CURVES if curve.name != "earlier" or _remembered(record)]
    figure = Figure(figsize=(3.25 * len(seen), 2.6), layout="constrained")
    for axes, curve in zip(figure.subplots(1, len(seen)), seen, strict=True):
        _draw(axes, curve, record)
        axes.axvline(_kept(record), color="black", lw=0.8, ls="--")
        axes.set_title(curve.title, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.set_ylim(bottom=0, top=curve.whole)
    return markdown(figure, "loss, focus, divergence and learning rate; the state that was kept")


def _remembered(record: Mapping[str, Any]) -> bool:
    """Whether corrections of earlier cycles were held apart."""
    return bool(_points(record["probes"], "earlier"))


def _draw(axes: Any, curve: _Curve, record: Mapping[str, Any]) -> None:  # noqa: ANN401
    learnt = _points(record["curve"], curve.name)
    if learnt:
        axes.plot(*zip(*learnt, strict=True), color=curve.colour, lw=1)
    probed = [] if curve.held_apart is None else _points(record["probes"], curve.held_apart)
    if probed:
        axes.plot(*zip(*probed, strict=True), color=curve.colour, marker="o", ms=4, lw=0.6, ls=":")
        if curve.name == "divergence":
            limit = record["recipe"]["retention_limit"]
            axes.axhline(limit, color="black", lw=0.8, ls=":")


def _points(found: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(point["step"], point[name]) for point in found if point.get(name) is not None]


def _kept(record: Mapping[str, Any]) -> int:
    """The last state's step, where no other was kept."""
    last: int = record["curve"][-1]["step"]
    kept: int | None = record["kept_after"]
    return last if kept is None else kept
