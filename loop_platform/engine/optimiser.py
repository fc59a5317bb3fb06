"""AdamW on float32 masters of the weights, warm-up and a decay to zero.

A step of 1e-3 of a bfloat16 weight is lost to rounding; on a float32 master it adds up.
"""

import math
from collections.abc import Sequence
from typing import Any

_WARM_UP = 0.06
_LONGEST_GRADIENT = 1.0


class Optimiser:
    def __init__(self, weights: Sequence[Any], learning_rate: float, steps: int) -> None:
        import torch

        self._weights = weights
        self._masters = [weight.detach().float().clone() for weight in weights]
        self._adam = torch.optim.AdamW(
            self._masters, lr=learning_rate, betas=(0.9, 0.999), weight_decay=0.0, fused=True
        )
        self._peak = learning_rate
        self._steps = steps
        self._done = 0
        self.spent = 0.0
        """Share of the time that is gone, where it does not suffice for all steps: the decay keeps
        up with it."""

    @property
    def learning_rate(self) -> float:
        """Of the step that comes: up in a line, then down a cosine."""
        warm = max(1, round(_WARM_UP * self._steps))
        if self._done < warm:
            return self._peak * (self._done + 1) / warm
        along = (self._done - warm) / max(1, self._steps - warm)
        along = max(along, self.spent)
        return self._peak * 0.5 * (1 + math.cos(math.pi * along))

    def step(self, gradients: Sequence[Any]) -> None:
        """One step along the gradients, float32, one a weight."""
        import torch

        for group in self._adam.param_groups:
            group["lr"] = self.learning_rate
        for master, gradient in zip(self._masters, gradients, strict=True):
            master.grad = gradient
        torch.nn.utils.clip_grad_norm_(self._masters, _LONGEST_GRADIENT)
        self._adam.step()
        with torch.no_grad():
            for weight, master in zip(self._weights, self._masters, strict=True):
                weight.copy_(master)
        self._done += 1
