"""The optimiser's steps over the rows, and what is said of them while they are made."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from loop_platform.engine import batches
from loop_platform.engine.champion import Anchor, remember
from loop_platform.engine.directions import aim
from loop_platform.engine.job import Recipe
from loop_platform.engine.lanes import lanes
from loop_platform.engine.losses import Loss, loss
from loop_platform.engine.network import Network
from loop_platform.engine.optimiser import Optimiser
from loop_platform.engine.record import Progress
from loop_platform.engine.rows import Row

Say = Callable[[str], None]

_SAY_EVERY_S = 5.0


class TrainingError(RuntimeError):
    """A run that cannot give an adapter."""


@dataclass(frozen=True)
class _Learnt:
    """What one batch taught."""

    loss: Loss
    tokens: int
    gradients: Sequence[Any]
    """One a trained weight."""


class Lessons:
    """One training run of a network on rows."""

    def __init__(
        self,
        network: Network,
        rows: Sequence[Row],
        recipe: Recipe,
        *,
        fresh: bool,
    ) -> None:
        """`fresh`: the adapter is new, none of the champion's."""
        self._network = network
        self._rows = rows
        self._recipe = recipe
        self._fresh = fresh
        self._anchor = Anchor({})
        self._weights: list[Any] = []

    @property
    def steps(self) -> int:
        tokens = sum(len(row.ids) for row in self._rows)
        recipe = self._recipe
        return recipe.max_steps or max(
            1, math.ceil(recipe.epochs * tokens / recipe.tokens_per_step)
        )

    def run(self, say: Say) -> Progress:
        """Look at the champion, then make the steps.

        Raises:
            TrainingError: the loss is no number any more.
        """
        recipe, steps = self._recipe, self.steps
        started = said = time.monotonic()
        if recipe.divergence_weight > 0 and any(row.replay for row in self._rows):
            self._hold_on(say)
        self._weights = self._network.parameters
        progress = Progress(steps)
        optimiser = Optimiser(self._weights, recipe.learning_rate, steps)
        planned = batches.steps(self._rows, recipe.tokens_per_step, recipe.seed)
        with lanes(at_most=len({row.replay for row in self._rows})) as side_by_side:
            for step, parts in enumerate(islice(planned, steps), 1):
                rate = optimiser.learning_rate
                learnt = side_by_side.run(self._learn, parts)
                optimiser.step(_total([part.gradients for part in learnt]))
                progress.seconds = time.monotonic() - started
                tokens = sum(part.tokens for part in learnt)
                progress.add(step, rate, [part.loss for part in learnt], tokens)
                if time.monotonic() - said > _SAY_EVERY_S or step == steps:
                    said = time.monotonic()
                    say(_line(progress, step))
        return progress

    def _hold_on(self, say: Say) -> None:
        """Remember the champion, and listen where it has little to say."""
        network, rows = self._network, self._rows
        if self._fresh:
            aimed = aim(network, rows, self._recipe.seed)
            say(f"{aimed} of {len(network.layers)} layers listen to the corrections' directions")
        else:
            network.freeze_directions()
        self._anchor = remember(network, rows, self._recipe.tokens_per_step)

    def _learn(self, chosen: Sequence[int]) -> _Learnt:
        """The gradients of one batch."""
        import torch

        batch = batches.collate(self._rows, chosen)
        found = loss(self._network, batch, self._anchor, self._recipe.divergence_weight)
        total = float(found.total.detach())
        if not math.isfinite(total):
            raise TrainingError(
                f"the loss is {total}: the training diverged; lower the recipe's learning rate of"
                f" {self._recipe.learning_rate:g}"
            )
        gradients = torch.autograd.grad(found.total, self._weights)
        return _Learnt(found, batch.tokens, gradients)


def _total(parts: Sequence[Sequence[Any]]) -> list[Any]:
    """The sum of the batches' gradients, in float32 and always in the same order."""
    totals = [gradient.float() for gradient in parts[0]]
    for part in parts[1:]:
        for total, gradient in zip(totals, part, strict=True):
            total.add_(gradient)
    return totals


def _line(progress: Progress, step: int) -> str:
    point = progress.curve[-1]
    left = progress.seconds / step * (progress.steps - step)
    surprise = "-" if point.surprise is None else f"{point.surprise:.3f}"
    divergence = "-" if point.divergence is None else f"{point.divergence:.4f}"
    return (
        f"step {step}/{progress.steps}: loss {surprise}, divergence {divergence},"
        f" {progress.tokens_per_s:.0f} tokens/s, {left:.0f} s left"
    )
