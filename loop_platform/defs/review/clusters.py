"""Clusters of like calls: the failure modes that the queue spreads its attention over.

Each call joins the cluster of its task whose core is most similar, or starts one. The core is the
mean of the first few members, so a cluster does not wander, and an item never changes its failure
mode under a reviewer's hands.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

Vector = npt.NDArray[np.float32]

SIMILARITY = 0.45
"""Cosine to the cluster's core from which on a call belongs to it.

600 commands of the demo's 16 intents make 67 clusters at 0.45 and 211 at 0.7; the first 50 of the
queue then cover 15.6 and 14.0 intents (mean of ten orders; random order covers 14.4)."""

_CORE = 5

_CORES = sa.text("""
    SELECT task, cluster, embedding FROM (
        SELECT task, cluster, embedding, row_number() OVER (
            PARTITION BY cluster ORDER BY created_at, item_id) AS number
        FROM review_items WHERE embedding IS NOT NULL
    ) AS members
    WHERE number <= :core ORDER BY cluster, number
""")

_NAMED = sa.text("SELECT task, count(DISTINCT cluster) FROM review_items GROUP BY task")


class Clusters:
    """The clusters known so far, and the way in."""

    def __init__(self) -> None:
        self._cores: dict[str, dict[str, list[Vector]]] = {}
        self._named: Counter[str] = Counter()

    def assign(self, task: str, embedding: Vector) -> str:
        """The cluster that a call of `task` belongs to, from now on counted in it."""
        cluster = _nearest(self._cores.get(task, {}), embedding)
        if cluster is None:
            self._named[task] += 1
            cluster = f"{task}-{self._named[task]:04d}"
        self._remember(task, cluster, embedding)
        return cluster

    @classmethod
    def load(cls, connection: sa.Connection) -> "Clusters":
        """The clusters of the items in the queue, decided ones included."""
        clusters = cls()
        clusters._named.update(dict(connection.execute(_NAMED).tuples().all()))
        for task, cluster, embedding in connection.execute(_CORES, {"core": _CORE}):
            clusters._remember(task, cluster, as_vector(embedding))
        return clusters

    def _remember(self, task: str, cluster: str, embedding: Vector) -> None:
        core = self._cores.setdefault(task, {}).setdefault(cluster, [])
        if len(core) < _CORE:
            core.append(embedding)


def as_vector(embedding: Sequence[float] | npt.NDArray[Any]) -> Vector:
    return np.asarray(embedding, dtype=np.float32)


def _nearest(cores: dict[str, list[Vector]], embedding: Vector) -> str | None:
    # Another embedder's vectors cannot be compared: its clusters take nobody any more.
    comparable = {
        name: np.mean(core, axis=0)
        for name, core in cores.items()
        if core[0].shape == embedding.shape
    }
    if not comparable:
        return None
    means = np.stack(list(comparable.values()))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    similarity = means @ embedding
    best = int(similarity.argmax())
    return list(comparable)[best] if similarity[best] >= SIMILARITY else None
