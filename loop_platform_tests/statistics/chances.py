"""When a simulated share says that something is wrong, and not that the dice fell badly."""

from statistics import NormalDist

import numpy as np

# A right test fails with one chance in a hundred thousand; it is seeded besides.
_BLUNDER = 1e-5


def at_most(share: float, seen: int, n: int) -> bool:
    """Whether `seen` of `n` could well come of a chance of at most `share`: exact, binomial."""
    from scipy.stats import binom

    return float(binom.sf(seen - 1, n, share)) > _BLUNDER


def at_least(share: float, seen: int, n: int) -> bool:
    """Whether `seen` of `n` could well come of a chance of at least `share`."""
    from scipy.stats import binom

    return float(binom.cdf(seen, n, share)) > _BLUNDER


def pairs_needed(gap: float, discordant: float, error: float, power: float = 0.8) -> float:
    """Pairs that a test of fixed size needs to see `gap` (Connor 1987, in the limit)."""
    z = NormalDist().inv_cdf(1 - error) + NormalDist().inv_cdf(power)
    return z * z * discordant / gap**2


def pairs(
    generator: np.random.Generator, shape: tuple[int, int], win: float, loss: float
) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    """Places in (-1, 0, 1): runs of pairs, each won, lost or tied with these chances."""
    drawn = generator.random(shape)
    return 1 + (drawn < win).astype(np.int64) - (drawn >= 1 - loss).astype(np.int64)
