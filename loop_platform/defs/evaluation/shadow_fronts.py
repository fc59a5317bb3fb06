"""The fronts of a shadow: what the pairs so far say of each.

Completion over the tasks that the cycle corrected, together; completion of every task that was
seen, each a slice; reliability; cost. A task with a validator is told by who succeeded. A task
without one cannot be judged: what is looked at is whether the candidate says something else than
the champion more often than the champion itself does when it is asked again. That can turn a
candidate away; it cannot speak for it, so such a front is lost or not known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from loop_platform.settings import Front, FrontName, FrontSettings
from loop_platform.statistics.fronts import Goal, Paired, Reading, read
from loop_platform.statistics.tally import Tally

FOCUS = "completion of what was corrected"
COMPLETION = "completion of"
RELIABILITY: Final = "reliability"
COST: Final = "cost"


@dataclass(frozen=True)
class ShadowFront:
    """The differences of a front in the order in which the pairs came."""

    goal: Goal
    values: Sequence[float]
    speaks: bool = True
    """Whether it can speak for the candidate."""

    def after(self, pairs: int) -> Paired:
        """What was known after so many of them."""
        return Paired(Tally.of(self.values[:pairs]))


def fronts(
    outcomes: pl.DataFrame, focus: Sequence[str], declared: FrontSettings
) -> dict[str, ShadowFront]:
    """Every front of these pairs. A corrected task that was not seen has its front all the same."""
    told = outcomes.filter(pl.col("champion").is_not_null())
    corrected = told.filter(pl.col("task").is_in(focus))
    found = {FOCUS: ShadowFront(_goal(declared.focus), _completion(corrected))}
    for task in sorted({*outcomes["task"], *focus}):
        goal = _goal(declared.of("completion", task))
        strays = _strays(outcomes.filter(task=task))
        found[f"{COMPLETION} {task}"] = (
            ShadowFront(goal, strays, speaks=False)
            if strays
            else ShadowFront(goal, _completion(told.filter(task=task)))
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


def _completion(told: pl.DataFrame) -> list[float]:
    return _difference(told, "candidate", "champion")


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
