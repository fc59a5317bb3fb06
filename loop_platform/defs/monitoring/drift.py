"""Whether two windows of calls differ: MMD on their embeddings, KS on each of their signals.

The only module that knows alibi-detect (Business Source License 1.1): `_mmd` is what to replace.
A report is one look; reports that go on being made raise a false alarm now and then, at the rate
that the p-value says. Tests that hold under peeking are not here yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

Vectors = npt.NDArray[np.float32]

_PERMUTATIONS = 500
_SEED = 17
# The kernel matrix is whole in memory: (2 x 1000)² floats are 16 MB.
_MOST_ROWS = 1000
# A window below this says nothing.
FEWEST = 30


@dataclass(frozen=True)
class Test:
    """One comparison. `p_adjusted` counts the tests that were made beside it."""

    name: str
    statistic: float
    p_value: float
    p_adjusted: float
    n_reference: int
    n_current: int
    alarms: bool


def embeddings_test(reference: Vectors, current: Vectors) -> Test | None:
    """Maximum mean discrepancy of the prompts' embeddings; its statistic is MMD²."""
    if min(len(reference), len(current)) < FEWEST:
        return None
    p_value, distance = _mmd(reference[-_MOST_ROWS:], current[-_MOST_ROWS:])
    return Test(
        "embeddings (MMD)", distance, p_value, p_value, len(reference), len(current), alarms=True
    )


def signal_tests(
    reference: pl.DataFrame, current: pl.DataFrame, alarms: Mapping[str, bool]
) -> list[Test]:
    """Kolmogorov-Smirnov on each signal, by Holm corrected for how many there are."""
    from scipy.stats import ks_2samp

    tests = []
    for name in alarms:
        before, now = (frame[name].drop_nulls().to_numpy() for frame in (reference, current))
        if min(len(before), len(now)) >= FEWEST:
            found = ks_2samp(before, now, method="asymp")
            sizes = (len(before), len(now))
            tests.append((name, float(found.statistic), float(found.pvalue), sizes))
    adjusted = holm([p_value for _, _, p_value, _ in tests])
    return [
        Test(name, statistic, p_value, corrected, *sizes, alarms=alarms[name])
        for (name, statistic, p_value, sizes), corrected in zip(tests, adjusted, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def overall_p_value(embeddings: Test | None, signals: Sequence[Test]) -> float:
    """Of the two families, prompts and signals, the smaller p-value, twice."""
    raised = [test.p_adjusted for test in signals if test.alarms]
    families = [min(raised, default=1.0), 1.0 if embeddings is None else embeddings.p_adjusted]
    return min(1.0, 2 * min(families))


def movers(reference: Vectors, current: Vectors, count: int = 5) -> list[int]:
    """The places in the current window that are most its own: near each other, far from before."""
    if not len(reference) or not len(current):
        return []
    witness = current @ current.mean(0) - current @ reference.mean(0)
    return [int(at) for at in np.argsort(-witness, kind="stable")[:count]]


def _mmd(reference: Vectors, current: Vectors) -> tuple[float, float]:
    """The p-value by permutation, never zero, and MMD²."""
    import torch
    from alibi_detect.cd import MMDDrift

    torch.set_num_threads(1)  # a model may be in training beside it
    torch.manual_seed(_SEED)
    detector = MMDDrift(reference, backend="pytorch", device="cpu", n_permutations=_PERMUTATIONS)
    found = detector.predict(current)["data"]
    return max(float(found["p_val"]), 1 / (_PERMUTATIONS + 1)), float(found["distance"])
