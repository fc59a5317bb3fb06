"""Failure modes: the corrections of a cycle by what went wrong.

A mode is a cluster of the review queue (loop_platform/defs/review/clusters.py), so that what people
saw together there is trained, and judged, together here. Its severity is the mean harm of its
corrections, from 0 to 1, as the queue weighs it (loop_platform/defs/review/ranking.py); it matters
as much as severity × size.

A mode is named by its task and the words that set it apart from the task's other modes: class-based
TF-IDF, M. Grootendorst (2022), "BERTopic: Neural topic modeling with a class-based TF-IDF
procedure", arXiv:2203.05794. A row counts a word once, so no long prompt names a mode by itself.

Names go where an erasure does not reach (run metadata, training records, model cards), so a word is
used only where it was said in at least three conversations, and never with a digit in it; examples
are decision ids, not texts. A mode without such a word, as in a language that is written without
spaces, goes by the name of its cluster.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from loop_platform.defs.curation.conversations import conversation

_WORD = re.compile(r"(?<![\w@.])[^\W\d_]{2,}(?![\w@])")
"""Letters alone, and no part of an address."""
_WORDS = 3
"""In a name, at most."""
_CONVERSATIONS = 3
"""In which a word has to be said before it names anything."""
_EXAMPLES = 3


@dataclass(frozen=True)
class Mode:
    """Corrections of one kind."""

    cluster: str
    task: str
    name: str
    severity: float | None
    """Mean harm, 0 to 1; None of rows that were curated before their harm was kept."""
    size: int
    examples: tuple[str, ...]
    """Decision ids of the most typical corrections, those nearest to the mode's mean."""

    @property
    def weight(self) -> float:
        """How much it matters: severity × size."""
        return (1.0 if self.severity is None else self.severity) * self.size


def modes(rows: pl.DataFrame) -> list[Mode]:
    """The modes of `rows`, what matters most first.

    Columns: `decision_id`, `task`, `cluster`, `messages` (JSON), `prompt`, `embedding`, and `harm`
    where it is known.
    """
    if "harm" not in rows.columns:
        rows = rows.with_columns(harm=pl.lit(None, pl.Float64))
    names = _names(rows)
    found = [
        Mode(
            cluster=str(cluster),
            task=members["task"][0],
            name=names[str(cluster)],
            severity=_mean(members["harm"]),
            size=members.height,
            examples=_typical(members),
        )
        for (cluster,), members in rows.group_by("cluster", maintain_order=True)
    ]
    return sorted(found, key=lambda mode: (-mode.weight, mode.cluster))


def by_split(frame: pl.DataFrame) -> list[tuple[Mode, Mapping[str, int]]]:
    """The modes of a cycle's rows, each with its rows by split. Quarantined ones are in none."""
    fit = frame.filter(pl.col("split") != "quarantine")
    counts: dict[str, Counter[str]] = {}
    for cluster, split in fit.select("cluster", "split").iter_rows():
        counts.setdefault(cluster, Counter())[split] += 1
    return [(mode, counts[mode.cluster]) for mode in modes(fit)]


def by_weight(rows: pl.DataFrame) -> list[str]:
    """The decision ids in the order in which a budget takes them: mode by mode, what matters most
    first, and of each mode the oldest first. `rows` are oldest first."""
    places = {mode.cluster: place for place, mode in enumerate(modes(rows))}
    order = rows.select(
        "decision_id", place=pl.col("cluster").replace_strict(places, return_dtype=pl.Int64)
    )
    return order.sort("place", maintain_order=True)["decision_id"].to_list()


def _names(rows: pl.DataFrame) -> dict[str, str]:
    """Cluster → name, no name twice."""
    said: dict[str, dict[str, Counter[str]]] = {}
    heard: dict[str, set[str]] = {}
    for task, cluster, messages, prompt in rows.select(
        "task", "cluster", "messages", "prompt"
    ).iter_rows():
        words = set(_WORD.findall((prompt or "").casefold()))
        said.setdefault(task, {}).setdefault(cluster, Counter()).update(words)
        for word in words:
            heard.setdefault(word, set()).add(conversation(messages))
    common = {word for word, where in heard.items() if len(where) >= _CONVERSATIONS}
    names = {
        cluster: f"{task}: {', '.join(words) or cluster}"
        for task, clusters in said.items()
        for cluster, words in _apart(clusters, common).items()
    }
    taken = Counter(names.values())
    return {
        cluster: name if taken[name] == 1 else f"{name} ({cluster})"
        for cluster, name in names.items()
    }


def _apart(clusters: Mapping[str, Counter[str]], common: set[str]) -> dict[str, list[str]]:
    """The words that set each cluster of a task apart: those of the largest tf · log(1 + A / f).

    tf: rows of the cluster that have the word; f: rows of all clusters that do; A: words a cluster,
    on average.
    """
    whole: Counter[str] = Counter()
    for words in clusters.values():
        whole.update(words)
    average = whole.total() / len(clusters)
    return {
        cluster: sorted(
            words.keys() & common,
            key=lambda word: (-words[word] * math.log(1 + average / whole[word]), word),
        )[:_WORDS]
        for cluster, words in clusters.items()
    }


def _typical(members: pl.DataFrame) -> tuple[str, ...]:
    vectors = np.asarray(members["embedding"].to_list(), dtype=np.float32)
    likeness = vectors @ vectors.mean(axis=0)
    nearest = np.argsort(-likeness, kind="stable")[:_EXAMPLES]
    return tuple(members["decision_id"][int(row)] for row in nearest)


def _mean(harms: pl.Series) -> float | None:
    known = harms.drop_nulls().to_list()
    return sum(known) / len(known) if known else None
