"""Keeps the last good state of a run, for when it comes to harm.

Good is a state whose loss on the corrections, over a few steps, is below what it was over the first
few. A run comes to harm where a loss is no number, or where it runs away: three times, and two nats
a token more than, what it was at the start. What led there is no adapter; what was good before is.
"""

from collections.abc import Sequence
from typing import Any

_STEPS = 10
"""Over which a loss is averaged: one batch says little."""
_TIMES = 3.0
_NATS = 2.0
_STATES = 20
"""That a run keeps, one after the other; a copy takes some milliseconds."""


class Keeper:
    """The weights of a run, seen before each of its steps."""

    def __init__(self, weights: Sequence[Any], steps: int) -> None:
        self._weights = weights
        self._every = max(_STEPS, steps // _STATES)
        self._losses: list[float] = []
        self._kept: list[Any] = []
        self.after: int | None = None
        """The state that is kept is that after so many steps."""

    def see(self, surprise: float) -> None:
        """The loss on the corrections of the weights as they are now, before the next step."""
        done = len(self._losses)
        self._losses.append(surprise)
        if done >= 2 * _STEPS and done % self._every == 0 and self._recent < self._first:
            self._kept = [weight.detach().cpu().clone() for weight in self._weights]
            self.after = done

    @property
    def runs_away(self) -> bool:
        """Whether the loss is far above what it was at the start, over a few steps."""
        if len(self._losses) < 2 * _STEPS:
            return False
        return self._recent > max(_TIMES * self._first, self._first + _NATS)

    def bring_back(self) -> bool:
        """Put the kept state into the weights; False where none was kept."""
        import torch

        with torch.no_grad():
            for weight, kept in zip(self._weights, self._kept, strict=self.after is not None):
                weight.copy_(kept)
        return self.after is not None

    @property
    def _first(self) -> float:
        return sum(self._losses[:_STEPS]) / _STEPS

    @property
    def _recent(self) -> float:
        return sum(self._losses[-_STEPS:]) / _STEPS
