"""The order in which people are asked about pairs: first the one whose verdict is likely to end the
trial soonest.

A trial ends when one front is lost, or when all are won or held. So

1. of the tasks that a verdict can still decide, first the one that is closest to being lost, if any
   is on its way there: that alone ends the trial. Then those of which nothing is known. Then the
   others, the closest to being settled first; all of them have to be, in whatever order.
2. Of a task, first the pair that came first and that nobody judged. What counts is what came before
   the first such pair (loop_platform/statistics/judged.py), so its verdict brings with it every tie
   up to the next one. Which of the later pairs might say more nobody knows without guessing their
   verdicts, and to pick by such a guess would make the guess the result.
3. Then pairs that a judge has judged, by lot: what people say of them takes the place of what it
   said, and keeps it calibrated.

How far a front is from being settled is told from its last reading: its mean stays where it is, its
interval shrinks with the root of the number of pairs.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from loop_platform.defs.evaluation.bench import JUDGE
from loop_platform.defs.evaluation.shadow_fronts import COMPLETION

_LOSING, _UNKNOWN, _OPEN, _SETTLED = range(4)


def in_order(
    outcomes: pl.DataFrame, tasks: Sequence[str], evidence: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The pairs of these tasks that a person can be asked about, the most useful first.

    `evidence` is that of the trial's last look.
    """
    told = evidence.get("people", {})
    undecided, in_use = set(told.get("tasks", ())), list(told.get("judges", ()))
    fronts = evidence.get("fronts", {})
    by_machine = pl.col("judged_by").str.starts_with(JUDGE).fill_null(value=False)
    counts = by_machine & pl.col("judged_by").is_in(in_use)
    nobody = pl.col("judged_by").is_null() | (by_machine & ~counts)
    waits = pl.col("champion").is_null() & nobody
    for task in sorted(
        tasks, key=lambda task: urgency(fronts.get(f"{COMPLETION} {task}"), task in undecided)
    ):
        yield from outcomes.filter(waits, task=task).sort("pair_id").iter_rows(named=True)
    for task in tasks:
        lots = outcomes.filter(counts, task=task).to_dicts()
        yield from sorted(lots, key=lambda pair: _lot(pair["pair_id"]))


def urgency(front: Mapping[str, Any] | None, undecided: bool) -> tuple[int, float]:
    """How soon a front's next verdicts can end the trial: its rank, and in how many pairs."""
    if not undecided:
        return _SETTLED, 0.0
    if front is None or front["mean"] is None or not front["n"]:
        return _UNKNOWN, 0.0
    mean, n = front["mean"], front["n"]
    least = 0.0 if front["aim"] == "win" else -front["margin"]
    losing = mean < least
    spread = front["high"] - mean if losing else mean - front["low"]
    apart = abs(mean - least)
    needed = math.inf if apart == 0 else n * (spread / apart) ** 2
    return (_LOSING if losing else _OPEN), max(0.0, needed - n)


def _lot(pair_id: str) -> bytes:
    return hashlib.sha256(f"lot {pair_id}".encode()).digest()
