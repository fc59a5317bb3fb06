"""Training and held-out rows, so that no near-duplicate crosses. Deterministic: no seed, no clock.

Rows that are near-duplicates, by their embeddings or letter by letter, or of one conversation, form
groups, and a group goes whole to one side. Likeness chains: where groups too large for the held-out
side leave it short of its share, it takes a corner of the largest, and the rows that border on it
wait for another cycle.
"""

import hashlib
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loop_platform import resemblance

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """What the split looks at, row by row."""

    ids: Sequence[str]
    conversations: Sequence[Hashable]
    """Rows with the same value belong to one conversation."""
    embeddings: Matrix
    """At length one."""
    questions: Sequence[str]
    """What the user said last."""


@dataclass(frozen=True)
class Trained:
    """What earlier cycles trained on; what is like it is no test."""

    embeddings: Matrix
    """At length one; 0 × 0 for none."""
    questions: Collection[str]
    """What the user said last in it, and in the answers that were replayed beside it."""


@dataclass(frozen=True)
class Split:
    heldout: frozenset[str]
    deferred: frozenset[str]
    groups: int


def split(rows: Rows, *, share: float, similarity: float, trained: Trained) -> Split:
    """Sets aside `share` of the rows."""
    like = (rows.embeddings @ rows.embeddings.T >= similarity) | _resembling(rows.questions)
    same = np.array([[a == b for b in rows.conversations] for a in rows.conversations], dtype=bool)
    bound = like | same.reshape(like.shape)
    groups = _groups(bound)
    known = _known(rows, trained, similarity)
    target = max(1, round(share * len(rows.ids))) if len(rows.ids) > 1 else 0
    heldout = _whole_groups(rows.ids, groups, known, target)
    deferred: set[int] = set()
    if 2 * len(heldout) < target:
        largest = [row for row in max(groups, key=len) if row not in known]
        more, deferred = _carve(rows.ids, largest, bound, target - len(heldout))
        heldout |= more
    return Split(
        heldout=frozenset(rows.ids[row] for row in heldout),
        deferred=frozenset(rows.ids[row] for row in deferred),
        groups=len(groups),
    )


def nearest_across(embeddings: Matrix, heldout: npt.NDArray[np.bool_]) -> list[float]:
    """For each row, its similarity to the most similar row of the other side; -1 for none."""
    similarity = embeddings @ embeddings.T
    across = heldout[:, None] != heldout[None, :]
    nearest: list[float] = np.where(across, similarity, -1.0).max(1, initial=-1.0).tolist()
    return nearest


def _groups(bound: npt.NDArray[np.bool_]) -> list[list[int]]:
    """The connected components of `bound`, by union-find."""
    parent = list(range(len(bound)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for first, second in np.argwhere(np.triu(bound, 1)).tolist():
        parent[root(second)] = root(first)
    groups: dict[int, list[int]] = {}
    for row in range(len(bound)):
        groups.setdefault(root(row), []).append(row)
    return list(groups.values())


def _resembling(questions: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which rows are near-duplicates letter by letter, as the leak check of the gates sees it."""
    found = np.zeros((len(questions), len(questions)), dtype=bool)
    everything = resemblance.Collection(questions)
    for row, question in enumerate(questions):
        found[row, everything.near(question)] = True
    return found


def _known(rows: Rows, trained: Trained, similarity: float) -> set[int]:
    said = resemblance.Collection(trained.questions)
    known = {row for row, question in enumerate(rows.questions) if said.near(question)}
    if len(trained.embeddings) and len(rows.ids):
        nearest = (rows.embeddings @ trained.embeddings.T).max(1)
        known.update(np.flatnonzero(nearest >= similarity).tolist())
    return known


def _whole_groups(
    ids: Sequence[str], groups: list[list[int]], known: set[int], target: int
) -> set[int]:
    heldout: set[int] = set()
    for group in sorted(groups, key=lambda group: _draw(ids[row] for row in group)):
        if len(heldout) + len(group) <= target and known.isdisjoint(group):
            heldout.update(group)
    return heldout


def _carve(
    ids: Sequence[str], group: Sequence[int], bound: npt.NDArray[np.bool_], wanted: int
) -> tuple[set[int], set[int]]:
    """Takes a corner of a group, and with it what borders on that out of training."""
    like = {row: set(np.flatnonzero(bound[row]).tolist()) for row in group}
    taken: set[int] = set()
    border: set[int] = set()
    while len(taken) < wanted and (left := like.keys() - taken):
        # Each row taken costs its neighbours their place: grow where that adds the fewest.
        costs = {row: len(like[row] - taken - border) for row in (border & left) or left}
        row = min(costs, key=lambda row: (costs[row], _draw([ids[row]])))
        taken.add(row)
        border |= like[row]
    return taken, border - taken


def _draw(ids: Iterable[str]) -> bytes:
    """A lot that depends on the rows alone."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).digest()
