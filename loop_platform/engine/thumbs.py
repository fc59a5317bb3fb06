"""Answers of which people said that they are good, or bad, and not what would be better:
Kahneman-Tversky optimisation, K. Ethayarajh et al. (2024), arXiv:2402.01306, section 4.

    r    = log π(answer) - log ρ(answer)
    z    = max(0, mean over strangers of log π(stranger) - log ρ(stranger))
    loss = mean of  λ_liked (1 - σ(β (r - z)))  and  λ_disliked (1 - σ(β (z - r)))

π is the model in training, ρ the champion, each answer's log-probability the sum over its tokens
and its end of turn. z is how far the model has moved at large: a stranger is an answer to another
prompt, here that of the next row, always the same one, so that the champion is asked once and a
number an answer is kept. No gradient goes through z. The weights λ make both kinds count alike,
however many there are of each, within what the paper advises; their mean over the rows is 1.

Beside the supervised loss on the corrections, never in its place.
"""

import random
from collections.abc import Iterator, Sequence

from loop_platform.engine import batches
from loop_platform.engine.lanes import Lanes
from loop_platform.engine.likelihood import ask, log_probabilities
from loop_platform.engine.losses import Loss
from loop_platform.engine.network import Network
from loop_platform.engine.rows import Row
from loop_platform.engine.team import Team

FEWEST = 8
"""Of each kind: with one kind alone the model would learn to say more, or less, of anything."""


class Thumbs:
    """Answers that were liked and answers that were disliked."""

    def __init__(self, liked: Sequence[Row], disliked: Sequence[Row], max_tokens: int) -> None:
        """A stranger is cut to what leaves its row no longer than `max_tokens`."""
        self._count = len(liked) + len(disliked)
        answers = [*liked, *disliked]
        self._liked = [True] * len(liked) + [False] * len(disliked)
        # Rows, then the same prompts with their strangers.
        strangers = zip(answers, [*answers[1:], *answers[:1]], strict=True)
        self._rows = [*answers, *(_strange(row, other, max_tokens) for row, other in strangers)]
        self._weights = {
            True: self._count / (2 * max(1, len(liked))),
            False: self._count / (2 * max(1, len(disliked))),
        }
        self._champion: dict[int, float] = {}
        """Log-probability by row."""

    def __len__(self) -> int:
        return self._count

    @property
    def tokens(self) -> int:
        """Without the strangers, from which nothing is learnt."""
        return sum(len(row.ids) for row in self._rows[: self._count])

    def longest(self, chosen: Sequence[int]) -> int:
        """Padded tokens of the longest of these, its stranger's row included."""
        return max(len(self._rows[row].ids) for row in self._with_strangers(chosen))

    def steps(self, budget: int, seed: int) -> Iterator[list[int]]:
        """Without end: the rows of each optimiser step, of `budget` padded tokens at most."""
        chance = random.Random(seed)
        while True:
            yield from batches.plan(self._rows, range(self._count), max(1, budget), chance)

    def parts(self, chosen: Sequence[int], at_once: int) -> list[list[int]]:
        """The rows in parts of at most `at_once` padded tokens (or one row)."""
        return batches.parts(self._rows, chosen, at_once)

    def remember(self, network: Network, at_once: int, side_by_side: Lanes) -> None:
        """Ask the champion, which the network still is, once and without gradients."""
        parts = self.parts(range(len(self._rows)), at_once)
        self._champion = ask(network, self._rows, parts, side_by_side)

    def reference(self, network: Network, chosen: Sequence[int], at_once: int, team: Team) -> float:
        """z: how far the model has moved at large, over the strangers of these rows, of which each
        of a team asks after its share."""
        import torch

        strangers = [row + self._count for row in chosen]
        mine = team.mine(self.parts(strangers, at_once))
        now = ask(network, self._rows, [part for part, _ in mine], Lanes())
        counted = [row for part, counts in mine if counts for row in part]
        gained = sum(now[row] - self._champion[row] for row in counted)
        moved = torch.tensor([gained], dtype=torch.float32)
        team.add_up([moved])
        return max(0.0, float(moved) / len(strangers))

    def loss(
        self,
        network: Network,
        chosen: Sequence[int],
        reference: float,
        *,
        beta: float,
        weight: float,
    ) -> tuple[Loss, int]:
        """The mean over the rows, times `weight`, and how many tokens it was made of."""
        import torch

        champion = torch.tensor([self._champion[row] for row in chosen])
        gained = log_probabilities(network, self._rows, chosen) - champion - reference
        liked = [self._liked[row] for row in chosen]
        signs = torch.tensor([1.0 if good else -1.0 for good in liked])
        weights = torch.tensor([self._weights[good] for good in liked])
        # 1 - σ(x) is σ(-x).
        mean = (weights * torch.sigmoid(-beta * signs * gained)).mean()
        tokens = sum(len(self._rows[row].ids) for row in self._with_strangers(chosen))
        return Loss(weight * mean, None, None, thumbs=float(mean.detach())), tokens

    def _with_strangers(self, chosen: Sequence[int]) -> list[int]:
        return [*chosen, *(row + self._count for row in chosen)]


def _strange(row: Row, other: Row, max_tokens: int) -> Row:
    """The prompt of one row with the answer of the other."""
    room = max(1, max_tokens - row.answer_from)
    answer = other.ids[other.answer_from :][:room]
    return Row((*row.ids[: row.answer_from], *answer), row.answer_from, replay=False)
