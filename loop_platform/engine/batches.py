"""Rows in batches of about equal cost: like lengths together, and a token budget a batch."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loop_platform.engine.rows import Row

_WINDOW = 8
"""Batches that are sorted by length together: more saves padding, fewer mixes better."""


@dataclass(frozen=True)
class Batch:
    """Padded rows, and where in them the answers are."""

    ids: Any
    """[rows, longest], padded on the right: with a causal model no mask is needed, since nothing
    that is looked at comes after padding."""
    positions: Any
    """[answer tokens]: index, in the flattened ids, of the token before each answer token."""
    targets: Any
    """[answer tokens]"""
    replayed: Any
    """[answer tokens], bool: is it the champion's own answer?"""
    rows: tuple[int, ...]
    """Index of each row in the list that the batch was made of."""
    tokens: int
    """Real ones, without padding."""


def plan(rows: Sequence[Row], budget: int, chance: random.Random) -> list[list[int]]:
    """One epoch: every row once, in batches of at most `budget` padded tokens (or one row)."""
    order = chance.sample(range(len(rows)), len(rows))
    window = max(1, _WINDOW * budget * len(rows) // max(1, sum(len(row.ids) for row in rows)))
    batches: list[list[int]] = []
    for start in range(0, len(order), window):
        alike = sorted(order[start : start + window], key=lambda index: len(rows[index].ids))
        batches += _cut(rows, alike, budget)
    chance.shuffle(batches)
    return batches


def endless(rows: Sequence[Row], budget: int, seed: int) -> Iterator[list[int]]:
    """Epoch after epoch, each in another order."""
    chance = random.Random(seed)
    while True:
        yield from plan(rows, budget, chance)


def collate(rows: Sequence[Row], chosen: Sequence[int], padding: int) -> Batch:
    """The tensors of a batch."""
    import torch

    longest = max(len(rows[index].ids) for index in chosen)
    ids = torch.full((len(chosen), longest), padding)
    positions: list[int] = []
    targets: list[int] = []
    replayed: list[bool] = []
    for place, index in enumerate(chosen):
        row = rows[index]
        ids[place, : len(row.ids)] = torch.tensor(row.ids)
        start = place * longest
        positions += range(start + row.answer_from - 1, start + len(row.ids) - 1)
        targets += row.ids[row.answer_from :]
        replayed += [row.replay] * row.answer_tokens
    return Batch(
        ids=ids,
        positions=torch.tensor(positions),
        targets=torch.tensor(targets),
        replayed=torch.tensor(replayed),
        rows=tuple(chosen),
        tokens=sum(len(rows[index].ids) for index in chosen),
    )


def _cut(rows: Sequence[Row], alike: Sequence[int], budget: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for index in alike:
        if batch and len(rows[index].ids) * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
