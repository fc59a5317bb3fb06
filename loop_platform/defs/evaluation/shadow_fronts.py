"""The fronts of a shadow: what the pairs so far say of each.

Completion over the tasks that the cycle corrected, together; completion of every task that was
seen, each a slice; reliability; cost. A task with a validator is told by who succeeded. What no
validator tells is told by which answer was found better, where the settings say that the task is
judged so, as far as it is judged (loop_platform/statistics/judged.py). A task with neither: what is
looked at is whether the candidate says something else than the champion more often than the
champion itself does when it is asked again. That can turn a candidate away; it cannot speak for it,
so such a front is lost or not known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from loop_platform.settings import Front, FrontName, FrontSettings
from loop_platform.statistics.fronts import Evidence, Goal, Paired, Reading, read
from loop_platform.statistics.judged import Judged
from loop_platform.statistics.tally import Tally

FOCUS = "completion of what was corrected"
COMPLETION = "completion of"
RELIABILITY: Final = "reliability"
COST: Final = "cost"

NOBODY: Mapping[str, float] = {}
"""No task is judged pair by pair."""


@dataclass(frozen=True)
class ShadowFront:
    """The differences of a front in the order in which the pairs came."""

    goal: Goal
    values: Sequence[float]
    """Where a judge gave no verdict, the worst that it could have been."""
    speaks: bool = True
    """Whether it can speak for the candidate."""
    best: Sequence[float] | None = None
    """Of pairs that were judged, with the best that it could have been."""
    keeps: float = 1.0
    """The least share of a difference that its judges show."""

    def after(self, pairs: int) -> Evidence:
        """What was known after so many of them."""
        worst = Tally.of(self.values[:pairs])
        if self.best is None:
            return Paired(worst)
        return Judged(worst, Tally.of(self.best[:pairs]), self.keeps)


def fronts(
    outcomes: pl.DataFrame,
    focus: Sequence[str],
    declared: FrontSettings,
    judged: Mapping[str, float] = NOBODY,
) -> dict[str, ShadowFront]:
    """Every front of these pairs. A corrected task that was not seen has its front all the same.

    `judged`: the tasks whose pairs are judged where no validator tells, and how much of a
    difference their judges show (see `Judged`).
    """
    corrected = outcomes.filter(pl.col("task").is_in(focus))
    found = {FOCUS: _completion(_goal(declared.focus), corrected, judged)}
    for task in sorted({*outcomes["task"], *focus}):
        goal, pairs = _goal(declared.of("completion", task)), outcomes.filter(task=task)
        strays = [] if task in judged else _strays(pairs)
        found[f"{COMPLETION} {task}"] = (
            ShadowFront(goal, strays, speaks=False) if strays else _completion(goal, pairs, judged)
        )
    measures: dict[FrontName, Callable[[pl.DataFrame], list[float]]] = {
        RELIABILITY: _failures,
        COST: _cost,
    }
    for name, measured in measures.items():
        found[name] = ShadowFront(_goal(declared.of(name)), measured(outcomes))
        for task in declared.named_by(name):
            of_task = measured(outcomes.filter(task=task))
            found[f"{name} of {task}"] = ShadowFront(_goal(declared.of(name, task)), of_task)
    return found


def readings(found: Mapping[str, ShadowFront]) -> dict[str, Reading]:
    """What is known of each front now."""
    all_of_them = read(
        {name: front.after(len(front.values)) for name, front in found.items()},
        {name: front.goal for name, front in found.items()},
    )
    return {
        name: reading
        if found[name].speaks or reading.verdict == "lost"
        else replace(reading, verdict="not known")
        for name, reading in all_of_them.items()
    }


def _goal(front: Front) -> Goal:
    return Goal(front.aim, front.margin)


def undecided(
    known: Mapping[str, Reading], judged: Mapping[str, float], focus: Sequence[str]
) -> list[str]:
    """The tasks that are judged pair by pair of which a further verdict can still decide."""
    of_focus = set() if known[FOCUS].met else set(focus)
    return [
        task
        for task in judged
        if task in of_focus or ((name := f"{COMPLETION} {task}") in known and not known[name].met)
    ]


def window(pairs: pl.DataFrame, judged: Mapping[str, float]) -> pl.DataFrame:
    """The pairs that count, with their difference as `told`: those before the first that somebody
    still has to judge. Where a judge gave no verdict, `told` is null."""
    if not judged:
        found = pairs.filter(pl.col("champion").is_not_null())
        return found.with_columns(told=_succeeded())
    told = pl.coalesce(_succeeded(), "preferred")
    asked = pl.col("task").is_in(list(judged)) & pl.col("champion").is_null()
    counting = pairs.with_columns(told=told).filter(asked | told.is_not_null())
    waits = pl.col("told").is_null() & pl.col("judged_by").is_null()
    return counting.filter(waits.cast(pl.Int64).cum_sum() == 0)


def _completion(goal: Goal, pairs: pl.DataFrame, judged: Mapping[str, float]) -> ShadowFront:
    found = window(pairs, judged)
    worst: list[float] = found["told"].fill_null(-1.0).to_list()
    if not judged.keys() & set(pairs["task"]):
        return ShadowFront(goal, worst)
    best: list[float] = found["told"].fill_null(1.0).to_list()
    keeps = min(share for task, share in judged.items() if task in set(pairs["task"]))
    return ShadowFront(goal, worst, best=best, keeps=keeps)


def _succeeded() -> pl.Expr:
    return pl.col("candidate").cast(pl.Float64) - pl.col("champion").cast(pl.Float64)


def _strays(outcomes: pl.DataFrame) -> list[float]:
    return _difference(outcomes.drop_nulls("alike"), "alike", "itself")


def _difference(pairs: pl.DataFrame, one: str, other: str) -> list[float]:
    values: list[float] = (pairs[one].cast(pl.Float64) - pairs[other].cast(pl.Float64)).to_list()
    return values


def _failures(outcomes: pl.DataFrame) -> list[float]:
    """A pair is of a call that the champion answered: all that can differ is that it failed."""
    return [-float(failed) for failed in outcomes["failed"]]


def _cost(outcomes: pl.DataFrame) -> list[float]:
    values: list[float] = outcomes["cost"].drop_nulls().to_list()
    return values
