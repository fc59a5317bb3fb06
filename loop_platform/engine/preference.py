"""Preference of the answer that people chose over the one that they rejected: direct preference
optimisation, R. Rafailov et al. (2023), arXiv:2305.18290, equation 7.

    loss = -log σ(β [(log π(chosen) - log ρ(chosen)) - (log π(rejected) - log ρ(rejected))])

π is the model in training, ρ the champion, each answer's log-probability the sum over its tokens
and its end of turn. ρ is what the model is before its first step, so it is asked once and a number
an answer is kept. Off unless the recipe gives it a weight: by itself it lowers the chosen answer's
probability as long as the rejected one's falls faster, so it goes beside the supervised loss on the
corrections, never in its place.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from loop_platform.engine import batches
from loop_platform.engine.lanes import Lanes
from loop_platform.engine.losses import Loss, surprises
from loop_platform.engine.network import Network
from loop_platform.engine.rows import Row


class Pairs:
    """Chosen and rejected answers to the same prompts."""

    def __init__(self, chosen: Sequence[Row], rejected: Sequence[Row]) -> None:
        pairs = list(zip(chosen, rejected, strict=True))
        self._rows = [row for pair in pairs for row in pair]
        self._longer = [max(pair, key=lambda row: len(row.ids)) for pair in pairs]
        self._champion: dict[int, float] = {}
        """Log-probability by row."""

    def __len__(self) -> int:
        return len(self._longer)

    @property
    def tokens(self) -> int:
        return sum(len(row.ids) for row in self._rows)

    def longest(self, pairs: Sequence[int]) -> int:
        """Padded tokens of the longest of these pairs."""
        return 2 * max(len(self._longer[pair].ids) for pair in pairs)

    def steps(self, budget: int, seed: int) -> Iterator[list[int]]:
        """Without end: the pairs of each optimiser step, of `budget` padded tokens at most."""
        chance = random.Random(seed)
        while True:
            yield from batches.plan(self._longer, range(len(self)), max(1, budget // 2), chance)

    def parts(self, pairs: Sequence[int], at_once: int) -> list[list[int]]:
        """The pairs in parts of at most `at_once` padded tokens (or one pair)."""
        return batches.parts(self._longer, pairs, max(1, at_once // 2))

    def remember(self, network: Network, at_once: int, side_by_side: Lanes) -> None:
        """Ask the champion, which the network still is, once and without gradients."""
        import torch

        def ask(pairs: Sequence[int]) -> list[float]:
            with torch.no_grad():
                said: list[float] = self._log_probabilities(network, self._batch(pairs)).tolist()
                return said

        parts = self.parts(range(len(self)), at_once)
        found = side_by_side.run(ask, parts)
        self._champion = {
            row: said
            for pairs, told in zip(parts, found, strict=True)
            for row, said in zip(_rows_of(pairs), told, strict=True)
        }

    def loss(
        self, network: Network, pairs: Sequence[int], *, beta: float, weight: float
    ) -> tuple[Loss, int]:
        """The mean over the pairs, times `weight`, and how many tokens it was made of."""
        import torch

        batch = self._batch(pairs)
        champion = torch.tensor([self._champion[row] for row in batch.rows])
        gained = self._log_probabilities(network, batch) - champion
        margin = beta * (gained[0::2] - gained[1::2])
        mean = -torch.nn.functional.logsigmoid(margin).mean()
        figure = float(mean.detach())
        return Loss(weight * mean, None, None, preference=figure), batch.tokens

    def _batch(self, pairs: Sequence[int]) -> batches.Batch:
        return batches.collate(self._rows, _rows_of(pairs))

    def _log_probabilities(self, network: Network, batch: batches.Batch) -> Any:  # noqa: ANN401
        """[rows]: of each answer, chosen and rejected in turn."""
        import torch

        lengths = torch.tensor([self._rows[row].answer_tokens for row in batch.rows])
        answers = torch.arange(len(lengths)).repeat_interleave(lengths)
        by_token = surprises(network.answer_states(batch), network.vocabulary, batch.targets)
        return -by_token.new_zeros(len(lengths)).index_add(0, answers, by_token)


def _rows_of(pairs: Sequence[int]) -> list[int]:
    return [row for pair in pairs for row in (2 * pair, 2 * pair + 1)]
