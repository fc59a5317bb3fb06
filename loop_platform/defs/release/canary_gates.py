"""The canary gates: what its calls so far show, beside the champion's calls of the same period.

What a candidate is worth was shown by the pairs of its shadow. The canary is there for what only
people and live traffic show: nobody objects more, nothing is declined more, the answers come in
time. Each is a front, over all tasks and over those that the settings name for it
(loop_platform/statistics/groups.py).

What is not covered: calls of one user are alike, and count here as if they were not; an objection
that comes after the last look is missed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from loop_platform.defs.evaluation.evidence import Gate, Score, refusals
from loop_platform.defs.release.exposure import Exposure
from loop_platform.release.trials import Verdict
from loop_platform.settings import FrontName, FrontSettings
from loop_platform.statistics.fronts import Goal, Reading, read, together
from loop_platform.statistics.groups import Groups
from loop_platform.statistics.proportions import Rate

NAMES = {
    "satisfaction_holds": "Nobody objects more often than to the champion's answers.",
    "safety_holds": "The candidate does not decline more often than the champion.",
    "latency_holds": "Answers come whole and within the latency budget, as the champion's do.",
}
_FRONTS: tuple[FrontName, ...] = ("satisfaction", "safety", "latency")


@dataclass(frozen=True)
class CanaryFront:
    """The calls of a front in the order in which they came, of both sides; None is not known."""

    goal: Goal
    calls: pl.DataFrame
    """`candidate`, whether it answered; `good`, whether it did well. Without what is not known."""

    def after(self, calls: int) -> Groups:
        """What was known after so many of the candidate's calls."""
        if calls >= self.candidates:
            return self._groups(self.calls)
        upto = self.calls.filter(pl.col("candidate").cum_sum() <= calls)
        return self._groups(upto)

    @property
    def candidates(self) -> int:
        """Calls of the candidate."""
        return int(self.calls["candidate"].sum())

    @staticmethod
    def _groups(calls: pl.DataFrame) -> Groups:
        mine, theirs = calls.filter("candidate"), calls.filter(~pl.col("candidate"))
        return Groups(
            int(mine["good"].sum()), mine.height, int(theirs["good"].sum()), theirs.height
        )


def fronts(
    seen: Exposure, declared: FrontSettings, latency_budget_ms: float
) -> dict[str, CanaryFront]:
    """Every front of these calls."""
    good: dict[FrontName, pl.Expr] = {
        "satisfaction": ~(pl.col("objected") | ~pl.col("outcome").fill_null(value=True)),
        "safety": ~pl.col("refused"),
        "latency": ~pl.col("failed") & (pl.col("latency_ms") <= latency_budget_ms),
    }
    calls = pl.concat(
        [
            seen.champion.with_columns(candidate=pl.lit(value=False)),
            seen.canary.with_columns(candidate=pl.lit(value=True)),
        ]
    ).sort("call_id")
    found: dict[str, CanaryFront] = {}
    for name in _FRONTS:
        scored = calls.select("task", "candidate", good=good[name]).drop_nulls("good")
        found[name] = _front(scored, declared, name, None)
        for task in declared.named_by(name):
            found[f"{name} of {task}"] = _front(scored.filter(task=task), declared, name, task)
    return found


def readings(found: Mapping[str, CanaryFront]) -> dict[str, Reading]:
    """What is known of each front now."""
    return read(
        {name: front.after(front.candidates) for name, front in found.items()},
        {name: front.goal for name, front in found.items()},
    )


def judge(found: Mapping[str, CanaryFront], known: Mapping[str, Reading]) -> list[Gate]:
    """A gate for each kind of front, in the order of their names."""
    return [
        _gate(gate, {name: each for name, each in known.items() if _kind(name) == kind}, found)
        for gate, kind in zip(NAMES, _FRONTS, strict=True)
    ]


def verdict(gates: list[Gate], known: Mapping[str, Reading]) -> tuple[Verdict, str]:
    """The verdict on the canary so far, and its reason."""
    found = together(known)
    if found == "failed":
        return found, refusals([gate for gate in gates if gate.lost])
    if found == "not known":
        open_ones = [name for name, reading in known.items() if not reading.met]
        return found, f"not known yet: {', '.join(open_ones)}"
    return found, "nothing got worse in its canary"


def _front(
    scored: pl.DataFrame, declared: FrontSettings, name: FrontName, task: str | None
) -> CanaryFront:
    front = declared.of(name, task)
    return CanaryFront(Goal(front.aim, front.margin), scored)


def _kind(front: str) -> str:
    return front.split(" of ", maxsplit=1)[0]


def _gate(name: str, known: Mapping[str, Reading], found: Mapping[str, CanaryFront]) -> Gate:
    return Gate(
        name,
        passed=all(reading.met for reading in known.values()),
        lost=any(reading.verdict == "lost" for reading in known.values()),
        sentence="; ".join(f"{front} {reading}" for front, reading in known.items()),
        scores=[
            score
            for front, reading in known.items()
            if (score := _score(front, found[front], reading)) is not None
        ],
    )


def _score(name: str, front: CanaryFront, reading: Reading) -> Score | None:
    """Both sides' shares; none where one side has no calls."""
    seen = front.after(front.candidates)
    if seen.mean is None:
        return None
    kind, _, task = name.partition(" of ")
    return Score(
        task or "all tasks",
        kind,
        champion=Rate.of(seen.champion, seen.of_champion),
        candidate=Rate.of(seen.candidate, seen.of_candidate),
        verdict=reading.verdict,
        reading=reading,
    )
