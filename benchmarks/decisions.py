"""How often a release decision is right, and how soon, beside the rules that others decide by.

Simulation, looking after every pair. Ours is what shadow decides with
(loop_platform/statistics/fronts.py). The rivals see the same pairs as two groups of calls and have
no margins: they declare a winner. They are written from their published descriptions.

- *z-test that peeks*: two proportions, pooled, two-sided 5 %, looked at as if each look were the
  only one, from 30 calls a side.
- *Bayes 95 %*: uniform priors; promote when the candidate is better with 95 %, drop it when the
  champion is. The posteriors are taken as normal, from 30 calls a side.
- *TensorZero's rule*: best-arm identification with its defaults: the squared gap over twice the
  summed variances (of each side's mean, at least 1e-12 a call) above log((1 + log t) / 0.05), from
  10 calls a side. Every 50 calls it looks, and shares the next calls by the standard deviations,
  which is the optimum that it solves for where there are two sides.

What is simulated: independent pairs with fixed rates. What is not: traffic that drifts, users whose
calls are alike, judges that err.

    python benchmarks/decisions.py            # 2,000 runs a cell
    python benchmarks/decisions.py --short    # a tenth of it
    python benchmarks/decisions.py --json     # the last line is one JSON object
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from loop_platform.statistics.betting import LOG_WEIGHTS, gains
from loop_platform.statistics.fronts import ERROR, Goal, Paired, read
from loop_platform.statistics.groups import Groups
from loop_platform.statistics.tally import Tally

Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]

MARGIN = 0.02
RATES = (0.5, 0.8, 0.95, 0.99)
CAP = 0.05
CANARY_CALLS = 2000
WIN, HOLD = Goal("win", MARGIN), Goal("hold", MARGIN)

# What became of a pair.
LOST, BOTH, NEITHER, WON = range(4)
_DIFFERENCES = np.array([-1.0, 0.0, 1.0])


@dataclass(frozen=True)
class Cell:
    """Pairs of a champion that succeeds at `rate` and a candidate `gain` beside it."""

    rate: float
    gain: float
    discordant: float
    """Share of the pairs in which one side alone succeeds."""

    def draw(self, generator: np.random.Generator, runs: int, pairs: int) -> Places:
        """What became of each pair, shape (runs, pairs)."""
        won, lost = (self.discordant + self.gain) / 2, (self.discordant - self.gain) / 2
        ends = np.cumsum([lost, self.rate - lost, 1 - self.rate - won]).astype(np.float32)
        drawn = generator.random((runs, pairs), dtype=np.float32)
        outcomes = np.zeros((runs, pairs), np.int8)
        for end in ends:
            outcomes += drawn >= end
        return outcomes

    def __str__(self) -> str:
        return (
            f"{self.rate:.0%} {100 * self.gain:+.0f} points, {self.discordant:.1%} of pairs differ"
        )


def cells(gain: float) -> Iterator[Cell]:
    """At each rate: answers that mostly agree, and answers independent of each other."""
    for rate in RATES:
        other = rate + gain
        independent = rate * (1 - other) + other * (1 - rate)
        for discordant in sorted({min(0.1, independent), independent}):
            yield Cell(rate, gain, discordant)


@dataclass(frozen=True)
class Ended:
    """When each run ended, in pairs, 0 for never: with the candidate let through, or turned away.
    A run ends once."""

    passed: Ints
    lost: Ints

    def share_passed(self) -> float:
        return float((self.passed > 0).mean())


class Capital:
    """What bets on "the mean is more than this" are worth, in many runs at once."""

    def __init__(self, mean: float, runs: int) -> None:
        self._factors = gains(mean, _DIFFERENCES)
        self._capital = np.tile(np.exp(LOG_WEIGHTS), (runs, 1))
        self._one = np.ones(LOG_WEIGHTS.size)

    def see(self, places: npt.NDArray[np.int_]) -> Floats:
        self._capital *= self._factors[places]
        total: Floats = self._capital @ self._one
        return total

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        # Nobody comes back from there, and numbers smaller still are slow.
        self._capital = np.maximum(self._capital[which], 1e-200)


def ours(places: npt.NDArray[np.int8], goal: Goal, error: float = ERROR) -> Ended:
    """One front of each run; `places` are places in (-1, 0, 1), shape (runs, pairs)."""
    runs, pairs = places.shape
    passed, lost = np.zeros(runs, np.int64), np.zeros(runs, np.int64)
    running = np.arange(runs)
    columns = np.ascontiguousarray(places.T)
    better = Capital(0.0 if goal.aim == "win" else -goal.margin, runs)
    worse = Capital(-goal.lost_below, runs)
    gone = np.zeros(runs, bool)
    for at in range(pairs):
        seen = columns[at].astype(np.intp)
        now_better, now_worse = better.see(seen) >= 1 / error, worse.see(2 - seen) >= 1 / error
        passed[running[now_better & ~gone]] = at + 1
        lost[running[now_worse & ~now_better & ~gone]] = at + 1
        gone |= now_better | now_worse
        if at % 64 == 63 and gone.any():
            left = ~gone
            running, columns, gone = running[left], columns[:, left], gone[left]
            better.keep(left)
            worse.keep(left)
            if not running.size:
                break
    return Ended(passed, lost)


def as_differences(outcomes: Places) -> Places:
    return np.array([0, 1, 1, 2], np.int8)[outcomes]


# rivals: from the successes of both sides so far to (promote now, drop now)

Looks = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def z_test(old: Floats, new: Floats, n: Floats) -> Looks:
    pooled = (old + new) / (2 * n)
    error = np.sqrt(np.maximum(2 * pooled * (1 - pooled) / n, 1e-300))
    z = (new - old) / n / error
    enough = n >= 30
    return enough & (z > 1.959964), enough & (z < -1.959964)


def bayes(old: Floats, new: Floats, n: Floats) -> Looks:
    means = [(side + 1) / (n + 2) for side in (old, new)]
    spread = np.sqrt(sum(mean * (1 - mean) for mean in means) / (n + 3))
    z = (means[1] - means[0]) / spread
    enough = n >= 30
    return enough & (z > 1.644854), enough & (z < -1.644854)


RIVALS: dict[str, Callable[[Floats, Floats, Floats], Looks]] = {
    "z_test_that_peeks": z_test,
    "bayes_95": bayes,
}
TENSORZERO = "tensorzero"
ALL = ("ours", *RIVALS, TENSORZERO)
_AT_ONCE = 100


def rival(name: str, outcomes: Places) -> Ended:
    """Where a rival's rule ended each run."""
    ends = [_rival(name, outcomes[at : at + _AT_ONCE]) for at in range(0, len(outcomes), _AT_ONCE)]
    return Ended(
        np.concatenate([end.passed for end in ends]), np.concatenate([end.lost for end in ends])
    )


def _rival(name: str, outcomes: Places) -> Ended:
    old, new = (
        np.cumsum((outcomes == alone) | (outcomes == BOTH), axis=1).astype(np.float64)
        for alone in (LOST, WON)
    )
    promote, drop = RIVALS[name](old, new, np.arange(1.0, outcomes.shape[1] + 1))
    passed, lost = _first(promote), _first(drop)
    return Ended(
        np.where((lost == 0) | (passed < lost), passed, 0),
        np.where((passed == 0) | (lost < passed), lost, 0),
    )


def _first(happened: npt.NDArray[np.bool_]) -> Ints:
    """The place of the first True in each row, counted from 1; 0 where there is none."""
    first: Ints = np.where(happened.any(axis=1), happened.argmax(axis=1) + 1, 0)
    return first


_PERIOD = 50


def tensorzero(
    generator: np.random.Generator, cell: Cell, runs: int, pairs: int
) -> tuple[Ended, Floats]:
    """Where TensorZero's rule first stops each run, in pairs, within the calls of so many pairs;
    and the candidate's share of the calls until then. Axis 0: champion, candidate.
    """
    rates = np.array([[cell.rate], [cell.rate + cell.gain]])
    calls, successes = np.full((2, runs), 10.0), generator.binomial(10, rates, (2, runs)) * 1.0
    passed, lost, share = np.zeros(runs, np.int64), np.zeros(runs, np.int64), np.full(runs, 0.5)
    for _ in range(2 * pairs // _PERIOD):
        means = successes / calls
        variances = np.maximum(means * (1 - means), 1e-12)
        gap, total = means[1] - means[0], calls.sum(axis=0)
        ratio = gap**2 / (2 * (variances / calls).sum(axis=0))
        running = (passed == 0) & (lost == 0)
        share[running] = (calls[1] / total)[running]
        stops = running & (ratio > np.log((1 + np.log(total)) / 0.05))
        at = np.ceil(total / 2).astype(np.int64)
        passed, lost = (
            np.where(stops & (gap > 0), at, passed),
            np.where(stops & (gap < 0), at, lost),
        )
        spread = np.sqrt(variances)
        new = generator.binomial(_PERIOD, spread[1] / spread.sum(axis=0))
        more = np.stack([_PERIOD - new, new])
        calls, successes = calls + more, successes + generator.binomial(more, rates)
    return Ended(passed, lost), share


# the figures


@dataclass(frozen=True)
class Bench:
    """How much is simulated, and where progress is told."""

    runs: int
    pairs: int
    seed: int
    say: Callable[[str], None]

    def promoted(self, title: str, gain: float, goal: Goal) -> dict[str, float]:
        """The largest share of candidates promoted, over all cells."""
        most = dict.fromkeys(ALL, 0.0)
        self.say(f"\n{title}\n{'':46}" + "".join(f"{name:>19}" for name in ALL))
        for cell in cells(gain):
            outcomes = cell.draw(self._generator(cell), self.runs, self.pairs)
            found = {"ours": ours(as_differences(outcomes), goal).share_passed()}
            found |= {name: rival(name, outcomes).share_passed() for name in RIVALS}
            theirs, _ = tensorzero(self._generator(cell), cell, self.runs, self.pairs)
            found[TENSORZERO] = theirs.share_passed()
            most = {name: max(most[name], found[name]) for name in ALL}
            self.say(f"{cell!s:46}" + "".join(f"{found[name]:>19.2%}" for name in ALL))
        return most

    def exposure(self) -> dict[str, float]:
        """The largest share of live calls that a candidate 3 points worse had, up to its end.

        Ours meets people in the canary alone, after a shadow that it has to get through first; its
        completion is to be held there. The z-test and Bayes split the traffic in half, TensorZero
        as it sees fit, from the first call on.
        """
        self.say("\nlive exposure of a candidate 3 points worse, until it is gone")
        largest, theirs, reached, everyone = 0.0, 0.0, 0, 0
        for cell in cells(-0.03):
            generator = self._generator(cell)
            ended = ours(as_differences(cell.draw(generator, self.runs, self.pairs)), HOLD)
            through = ended.passed[ended.passed > 0]
            calls = _canary(generator, cell, through.size)
            share = calls / (through + calls / CAP)
            largest, reached = max(largest, *share, 0.0), reached + through.size
            everyone += self.runs
            theirs = max(theirs, *tensorzero(generator, cell, self.runs, self.pairs)[1])
        self.say(f"ours: {reached} of {everyone} reached the canary; at most {largest:.2%}")
        self.say(f"TensorZero: up to {theirs:.0%}; the other rivals: half, from the first call on")
        return {"ours": float(largest), TENSORZERO: float(theirs)} | dict.fromkeys(RIVALS, 0.5)

    def coverage(self) -> dict[str, float]:
        """The smallest share of runs whose 95 % intervals held the truth at every look."""
        least = dict.fromkeys(("ours", "z_test_that_peeks", "bayes_95"), 1.0)
        self.say(f"\n95 % intervals that hold the truth at all looks\n{'':46}"
                 + "".join(f"{name:>19}" for name in least))  # fmt: skip
        for cell in [*cells(0.0), Cell(0.8, 0.05, 0.1), Cell(0.95, -0.03, 0.07)]:
            outcomes = cell.draw(self._generator(cell), self.runs, self.pairs)
            found = {"ours": 1 - float(_missed(as_differences(outcomes), cell.gain).mean())}
            found |= _rivals_coverage(outcomes, cell.gain)
            least = {name: min(least[name], found[name]) for name in least}
            self.say(f"{cell!s:46}" + "".join(f"{found[name]:>19.2%}" for name in least))
        return least

    def settling(self) -> dict[str, float]:
        """Median pairs until every front is settled, over those of a test of fixed size."""
        generator = np.random.default_rng(self.seed)
        needed = [front.fixed(ERROR) for front in SCENARIO]
        together = _joint(needed)
        self.say(
            f"\na candidate 5 points better: pairs of all traffic until each front is settled\n"
            f"{'front':44}{'fixed size':>12}{'median':>10}{'ratio':>8}{'last':>8}"
        )
        settled = np.stack([front.settled(generator, self.runs) for front in SCENARIO])
        last = settled.argmax(axis=0)
        for at, front in enumerate(SCENARIO):
            median = float(np.median(settled[at]))
            self.say(
                f"{front.name:44}{needed[at]:>12.0f}{median:>10.0f}{median / needed[at]:>8.2f}"
                f"{(last == at).mean():>8.0%}"
            )
        median = float(np.median(settled.max(axis=0)))
        self.say(
            f"{'all of them':44}{together:>12.0f}{median:>10.0f}{median / together:>8.2f}\n"
            f"{SCENARIO[int(np.bincount(last).argmax())].name} costs most. Fixed size: both sides"
            f" at {ERROR:.1%} and 80 % power, for all of them 80 % together"
        )
        return {"ours": median / together} | self._rivals_settling(generator)

    def _rivals_settling(self, generator: np.random.Generator) -> dict[str, float]:
        """Rivals have the one front: completion, on the pairs of its tasks."""
        front = SCENARIO[0]
        needed = front.fixed(ERROR) * front.share
        cell, pairs = Cell(0.8, 0.05, 0.1), int(8 * needed)
        outcomes = cell.draw(generator, self.runs, pairs)
        ends = {name: rival(name, outcomes).passed for name in RIVALS}
        ends[TENSORZERO] = tensorzero(generator, cell, self.runs, pairs)[0].passed
        return {
            name: float(np.median(passed[passed > 0])) / needed for name, passed in ends.items()
        }

    def _generator(self, cell: Cell) -> np.random.Generator:
        """Each cell its own dice, whatever else is simulated."""
        numbers = (round(1e4 * abs(x)) for x in (cell.rate, cell.gain, cell.discordant))
        return np.random.default_rng([self.seed, *numbers, int(cell.gain < 0)])


_LOOK_EVERY = 10


def _canary(generator: np.random.Generator, cell: Cell, runs: int) -> Floats:
    """Canary calls until its completion is lost, or the budget is spent, one call in twenty; looked
    at after every tenth."""
    beside = round(1 / CAP) - 1
    calls = np.full(runs, float(CANARY_CALLS))
    for run in range(runs):
        new = np.cumsum(generator.random(CANARY_CALLS) < cell.rate + cell.gain)
        old = np.cumsum(generator.binomial(beside, cell.rate, CANARY_CALLS))
        for n in range(_LOOK_EVERY, CANARY_CALLS, _LOOK_EVERY):
            seen = Groups(int(new[n - 1]), n, int(old[n - 1]), beside * n)
            if seen.e_below(-MARGIN) >= 1 / ERROR:
                calls[run] = n
                break
    return calls


def _missed(places: Places, truth: float) -> npt.NDArray[np.bool_]:
    """Runs whose interval left the truth out at some look: a bound passes the truth exactly when
    the bets against the truth are worth 1 / error."""
    above, below = Capital(truth, len(places)), Capital(-truth, len(places))
    missed = np.zeros(len(places), bool)
    for seen in np.ascontiguousarray(places.T).astype(np.intp):
        missed |= (above.see(seen) >= 1 / ERROR) | (below.see(2 - seen) >= 1 / ERROR)
    return missed


def _rivals_coverage(outcomes: Places, truth: float) -> dict[str, float]:
    """Wald's interval, and the credible one, of a difference of two groups, at every look."""
    held = {"z_test_that_peeks": 0, "bayes_95": 0}
    n = np.arange(1.0, outcomes.shape[1] + 1)
    for at in range(0, len(outcomes), _AT_ONCE):
        some = outcomes[at : at + _AT_ONCE]
        old, new = (
            np.cumsum((some == alone) | (some == BOTH), axis=1).astype(np.float64)
            for alone in (LOST, WON)
        )
        for name, extra in (("z_test_that_peeks", 0), ("bayes_95", 1)):
            means = [(side + extra) / (n + 2 * extra) for side in (old, new)]
            spread = np.sqrt(sum(mean * (1 - mean) for mean in means) / (n + 3 * extra))
            out = np.abs(means[1] - means[0] - truth) > 1.959964 * spread + 1e-12
            held[name] += int((~out[:, 29:].any(axis=1)).sum())
    return {name: count / len(outcomes) for name, count in held.items()}


@dataclass(frozen=True)
class Front:
    """A front of the scenario: of which share of the pairs, and how candidate and champion are."""

    name: str
    goal: Goal
    gain: float
    discordant: float
    share: float = 1.0

    @property
    def gap(self) -> float:
        return self.gain if self.goal.aim == "win" else self.gain + self.goal.margin

    def fixed(self, error: float) -> float:
        """Pairs of all traffic that a test of fixed size needs for 80 % power."""
        z = NormalDist().inv_cdf(1 - error) + NormalDist().inv_cdf(0.8)
        return z * z * (self.discordant - self.gain**2) / self.gap**2 / self.share

    def settled(self, generator: np.random.Generator, runs: int) -> Ints:
        """Pairs of all traffic until this front is met, of each run."""
        own = int(8 * self.fixed(ERROR) * self.share) + 500
        cell = Cell(0.8, self.gain, self.discordant)
        passed = ours(as_differences(cell.draw(generator, runs, own)), self.goal).passed
        # Not within eight times the fixed size: later than any median.
        reached = np.where(passed > 0, passed, 100 * own)
        others = generator.negative_binomial(reached, self.share) if self.share < 1 else 0
        total: Ints = reached + others
        return total


SCENARIO = (
    Front("completion on the focused task, to be won", WIN, 0.05, 0.10, 0.5),
    Front("slice: the focused task (50 % of pairs)", HOLD, 0.05, 0.10, 0.5),
    Front("slice: a second task (30 %)", HOLD, 0.0, 0.10, 0.3),
    Front("slice: a third task (20 %)", HOLD, 0.0, 0.10, 0.2),
    Front("user satisfaction", HOLD, 0.0, 0.10),
    Front("cost: dearer or cheaper beyond noise", HOLD, 0.0, 0.06),
    Front("reliability", HOLD, 0.0, 0.02),
    Front("safety", HOLD, 0.0, 0.02),
    Front("latency: over the budget", HOLD, 0.0, 0.04),
)


def _joint(needed: list[float]) -> float:
    """Pairs with which tests of fixed size see all of it with 80 %, each needing `needed` alone."""
    normal = NormalDist()
    error, alone = normal.inv_cdf(1 - ERROR), normal.inv_cdf(1 - ERROR) + normal.inv_cdf(0.8)
    low, high = max(needed), 10 * max(needed)
    while high - low > 1:
        middle = (low + high) / 2
        power = math.prod(normal.cdf(alone * math.sqrt(middle / n) - error) for n in needed)
        low, high = (low, middle) if power >= 0.8 else (middle, high)
    return high


def seconds_to_decide(say: Callable[[str], None]) -> float:
    """With ten million pairs behind it: one more pair, and the verdict on all fronts."""
    history = {front.name: Tally.of_pairs(525_000, 475_000, 9_000_000) for front in SCENARIO}
    goals = {front.name: front.goal for front in SCENARIO}
    started = time.perf_counter()
    latest = Tally.of([1.0])
    read({name: Paired(tally + latest) for name, tally in history.items()}, goals)
    took = time.perf_counter() - started
    say(f"\none more pair after ten million, {len(goals)} fronts decided in {1000 * took:.0f} ms")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--short", action="store_true", help="200 runs of 2,000 pairs")
    parser.add_argument("--runs", type=int, default=2000, help="a cell")
    parser.add_argument("--pairs", type=int, default=5000, help="at most, a run")
    parser.add_argument("--seed", type=int, default=17)
    given = parser.parse_args()
    runs, pairs = (200, 2000) if given.short else (given.runs, given.pairs)
    bench = Bench(runs, pairs, given.seed, lambda text: print(text, flush=True))
    print(f"{runs} runs a cell, up to {pairs} pairs each, looked at after every one")
    regressed = [
        bench.promoted("3 points worse, margin 2 points: held front or slice", -0.03, HOLD),
        bench.promoted("3 points worse: the front to be won", -0.03, WIN),
    ]
    figures = {
        "null_promoted_max": bench.promoted("no better, no worse: promoted", 0.0, WIN),
        "regression_3pt_promoted_max": {
            name: max(found[name] for found in regressed) for name in ALL
        },
        "exposure_max": bench.exposure(),
        "median_pairs_over_fixed": bench.settling(),
        "coverage_min": bench.coverage(),
    }
    took = seconds_to_decide(bench.say)
    if given.json:
        line: dict[str, float] = {"runs": runs, "pairs": pairs, "seconds_at_10m_pairs": took}
        for figure, found in figures.items():
            for name, value in found.items():
                line[figure if name == "ours" else f"{figure}_{name}"] = round(value, 5)
        print(json.dumps(line))


if __name__ == "__main__":
    main()
