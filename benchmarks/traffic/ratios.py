"""The figures that the table comes down to."""

import statistics
from collections.abc import Callable, Sequence

from traffic.cell import Cell

Round = Sequence[Cell]
"""Every cell, measured once: what is compared was measured within seconds."""


def summary(rounds: Sequence[Round], *, litellm: bool) -> dict[str, object]:
    """Medians over the rounds of ratios and differences within each; of those with LiteLLM, which
    is in the first round alone, that one's."""
    found: dict[str, object] = {
        "loop_over_passthrough": _ratio(rounds, "whole", "gateway", "passthrough"),
        "streamed_over_passthrough": _ratio(rounds, "streamed", "gateway", "passthrough"),
        "loop_over_lean": _ratio(rounds, "whole", "gateway", "lean"),
        "streamed_over_lean": _ratio(rounds, "streamed", "gateway", "lean"),
        "p99_added_ms": _added(rounds, "whole", lambda cell: cell.p99_ms),
        "ttfb_added_ms_p50": _added(rounds, "streamed", lambda cell: cell.first_p50_ms),
        "streamed_p99_added_ms": _added(rounds, "streamed", lambda cell: cell.p99_ms),
        "power_over_passthrough": _ratio(rounds, "whole", "power", "passthrough"),
        "power_p99_added_ms": _added(rounds, "whole", lambda cell: cell.p99_ms, "power"),
    }
    if litellm:
        found["loop_over_litellm"] = _ratio(rounds[:1], "whole", "gateway", "litellm")
        found["streamed_over_litellm"] = _ratio(rounds[:1], "streamed", "gateway", "litellm")
    found["void"] = sorted(
        f"{cell.way}, {cell.kind}, {cell.load}" for cells in rounds for cell in cells if cell.void
    )
    return found


def _ratio(rounds: Sequence[Round], kind: str, one: str, other: str) -> float | None:
    """Of requests a second, closed loop with 32 callers; None where the other answered none."""
    pairs = [
        (
            _cell(cells, one, kind, "closed 32").per_second,
            _cell(cells, other, kind, "closed 32").per_second,
        )
        for cells in rounds
    ]
    ratios = [first / second for first, second in pairs if second > 0]
    return round(statistics.median(ratios), 3) if ratios else None


def _added(
    rounds: Sequence[Round], kind: str, value: Callable[[Cell], float], way: str = "gateway"
) -> float:
    """Over the pass-through, open loop."""
    added = (
        value(_cell(cells, way, kind, "open")) - value(_cell(cells, "passthrough", kind, "open"))
        for cells in rounds
    )
    return round(statistics.median(added), 3)


def _cell(cells: Round, way: str, kind: str, load: str) -> Cell:
    return next(c for c in cells if (c.way, c.kind, c.load) == (way, kind, load))
