"""Rows in batches of about equal cost: like lengths together, and a token budget a batch.

Corrections and replay never share a batch, so that what a task's rows all begin with is computed
once a batch; an optimiser step takes batches of both, in the proportion of their tokens. Rehearsed
corrections go into the new ones' batches.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from loop_platform.engine.layout import Layout
from loop_platform.engine.rows import Row

_WINDOW = 8
"""Batches that are sorted by length together: more saves padding, fewer mixes better."""
_WORTH_SHARING = 8
"""A prefix of fewer tokens is not worth a pass of its own."""


@dataclass(frozen=True)
class Batch:
    """Rows laid one after another, and where in them the answers are."""

    ids: Any
    """[tokens]: what every row begins with, then the rest of each row."""
    layout: Layout
    positions: Any
    """[answer tokens]: index in the ids of the token before each answer token."""
    targets: Any
    """[answer tokens]"""
    replayed: bool
    """Are these the champion's own answers?"""
    rows: tuple[int, ...]
    """Index of each row in the list that the batch was made of."""
    tokens: int
    """Of the whole rows, what they share counted in each."""

    @property
    def prefix(self) -> Any:  # noqa: ANN401
        """[1, tokens]: what every row begins with."""
        return self.ids[None, : self.layout.prefix]

    @property
    def rest(self) -> Any:  # noqa: ANN401
        """[rows, longest]: the rows without the prefix, padded on the right. With a causal model no
        mask is needed, since nothing that is looked at comes after padding.
        """
        return self.layout.padded(self.ids[self.layout.prefix :])

    def whole(self) -> tuple[Any, Any, int]:
        """Ids with the prefix before each row, each row's length, and the prefix's."""
        import torch

        before = self.layout.prefix
        ids = torch.cat([self.prefix.expand(len(self.rows), -1), self.rest], dim=1)
        return ids, torch.tensor(self.layout.lengths) + before, before


def plan(
    rows: Sequence[Row], indices: Sequence[int], budget: int, chance: random.Random
) -> list[list[int]]:
    """One epoch: every row once, in batches of at most `budget` padded tokens (or one row)."""
    order = chance.sample(indices, len(indices))
    tokens = sum(len(rows[index].ids) for index in indices)
    window = max(1, _WINDOW * budget * len(indices) // max(1, tokens))
    batches: list[list[int]] = []
    for start in range(0, len(order), window):
        alike = sorted(order[start : start + window], key=lambda index: len(rows[index].ids))
        batches += _cut(rows, alike, budget)
    chance.shuffle(batches)
    return batches


def steps(
    rows: Sequence[Row], budget: int, seed: int, rehearsed: int = 0
) -> Iterator[list[list[int]]]:
    """Without end: the batches of each optimiser step, one of each kind of row that there is.

    `rehearsed` of the corrections of earlier cycles, and never more than there are new ones, come
    in an epoch of the others, on top of the budget: they make the steps larger and not more.
    """
    chance = random.Random(seed)
    kinds = [
        [index for index, row in enumerate(rows) if row.replay == replay and not row.earlier]
        for replay in (False, True)
    ]
    tokens = [sum(len(rows[index].ids) for index in kind) for kind in kinds]
    streams = [
        _endless(rows, kind, max(1, budget * share // sum(tokens)), chance)
        for kind, share in zip(kinds, tokens, strict=True)
        if kind
    ]
    again: Iterator[list[int]] = repeat([])
    if earlier := [index for index, row in enumerate(rows) if row.earlier]:
        count = min(rehearsed, len(earlier), len(kinds[False]))
        share = count * sum(len(rows[index].ids) for index in earlier) // len(earlier)
        again = _endless(rows, earlier, max(1, budget * share // sum(tokens)), chance)
    while True:
        new, *others = [next(stream) for stream in streams]
        yield [[*new, *next(again)], *others]


def parts(rows: Sequence[Row], chosen: Sequence[int], at_once: int) -> list[list[int]]:
    """A batch in parts of at most `at_once` padded tokens (or one row), its rows by length."""
    alike = sorted(chosen, key=lambda index: len(rows[index].ids))
    return list(_cut(rows, alike, at_once))


def collate(rows: Sequence[Row], chosen: Sequence[int]) -> Batch:
    """The tensors of a batch; its rows are of one kind."""
    import torch

    some = [rows[index] for index in chosen]
    shared = _shared(some)
    ids = list(some[0].ids[:shared])
    positions: list[int] = []
    targets: list[int] = []
    for row in some:
        start = len(ids) - shared
        positions += range(start + row.answer_from - 1, start + len(row.ids) - 1)
        targets += row.ids[row.answer_from :]
        ids += row.ids[shared:]
    return Batch(
        ids=torch.tensor(ids),
        layout=Layout(shared, tuple(len(row.ids) - shared for row in some)),
        positions=torch.tensor(positions),
        targets=torch.tensor(targets),
        replayed=some[0].replay,
        rows=tuple(chosen),
        tokens=sum(len(row.ids) for row in some),
    )


def _endless(
    rows: Sequence[Row], indices: Sequence[int], budget: int, chance: random.Random
) -> Iterator[list[int]]:
    while True:
        yield from plan(rows, indices, budget, chance)


def _shared(rows: Sequence[Row]) -> int:
    """Tokens that all rows begin with, short of the last token of any prompt."""
    if len(rows) < 2:
        return 0
    least, most = min(row.ids for row in rows), max(row.ids for row in rows)
    end = min(row.answer_from for row in rows) - 1
    shared = next((n for n in range(end) if least[n] != most[n]), end)
    return shared if shared >= _WORTH_SHARING else 0


def _cut(rows: Sequence[Row], alike: Sequence[int], budget: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for index in alike:
        if batch and len(rows[index].ids) * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
