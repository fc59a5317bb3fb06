"""Clusters of like calls: the failure modes that the queue spreads its attention over.

Each call joins the cluster of its task whose mean is most similar, or starts one. A cluster, once
named, keeps its members: an item never changes its failure mode under a reviewer's hands.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from loop_platform.database import review_items

Vector = npt.NDArray[np.float32]

SIMILARITY = 0.5
"""Cosine to the cluster's mean from which on a call belongs to it.

600 commands of the demo's 16 intents make 86 clusters at 0.5 and 218 at 0.7; the first 50 of the
queue then cover 15.1 and 14.0 intents (random order: 14.4)."""

_REMEMBERED = 5000
"""Latest items that the means are made of."""


class Clusters:
    """The clusters known so far, and the way in."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Vector]] = {}
        self._named: Counter[str] = Counter()

    def remember(self, task: str, cluster: str, embedding: Vector) -> None:
        """Count `embedding` in `cluster`."""
        known = self._sums.setdefault(task, {})
        known[cluster] = known[cluster] + embedding if cluster in known else embedding.copy()

    def assign(self, task: str, embedding: Vector) -> str:
        """The cluster that a call of `task` belongs to, from now on counted in it."""
        cluster = _nearest(self._sums.get(task, {}), embedding)
        if cluster is None:
            self._named[task] += 1
            cluster = f"{task}-{self._named[task]:04d}"
        self.remember(task, cluster, embedding)
        return cluster

    @classmethod
    def load(cls, connection: sa.Connection) -> "Clusters":
        """The clusters of the items in the queue, decided ones included."""
        query = (
            sa.select(review_items.c.task, review_items.c.cluster, review_items.c.embedding)
            .where(review_items.c.embedding.is_not(None))
            .order_by(review_items.c.created_at.desc())
            .limit(_REMEMBERED)
        )
        counts = sa.select(
            review_items.c.task, sa.func.count(review_items.c.cluster.distinct())
        ).group_by(review_items.c.task)
        clusters = cls()
        clusters._named.update(dict(connection.execute(counts).tuples().all()))
        for task, cluster, embedding in connection.execute(query):
            clusters.remember(task, cluster, as_vector(embedding))
        return clusters


def as_vector(embedding: Sequence[float] | npt.NDArray[Any]) -> Vector:
    return np.asarray(embedding, dtype=np.float32)


def _nearest(known: dict[str, Vector], embedding: Vector) -> str | None:
    # Another embedder's vectors cannot be compared: its clusters take nobody any more.
    comparable = {name: mean for name, mean in known.items() if mean.shape == embedding.shape}
    if not comparable:
        return None
    means = np.stack(list(comparable.values()))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    similarity = means @ embedding
    best = int(similarity.argmax())
    return list(comparable)[best] if similarity[best] >= SIMILARITY else None
