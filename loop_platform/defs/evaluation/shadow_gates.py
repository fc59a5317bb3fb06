"""The shadow gates: from what is known of each front to whether the candidate goes on."""

from collections.abc import Mapping, Sequence

import polars as pl

from loop_platform.defs.evaluation.evidence import Gate, Score, refusals
from loop_platform.defs.evaluation.shadow_fronts import (
    COMPLETION,
    COST,
    FOCUS,
    NOBODY,
    RELIABILITY,
    window,
)
from loop_platform.release.trials import Verdict
from loop_platform.statistics.fronts import Reading, together
from loop_platform.statistics.proportions import Rate

WON = "corrected_tasks_are_won"
SLICES = "every_task_holds"
COSTS = "cost_holds"
ANSWERS = "mirrored_calls_are_answered"

FOUND_BETTER = "found better"
"""The measure of a score whose two sides are how often each one's answer was found better."""

NAMES = {
    WON: "On mirrored traffic, the candidate does better on the tasks that the cycle corrected.",
    SLICES: "On mirrored traffic, no task gets worse by more than its margin.",
    COSTS: "A completed task takes no more tokens than it may.",
    ANSWERS: "The candidate answers what the champion answered, but for what the margin allows.",
}


def judge(
    outcomes: pl.DataFrame,
    readings: Mapping[str, Reading],
    focus: Sequence[str],
    judged: Mapping[str, float] = NOBODY,
) -> list[Gate]:
    """The gates, from the pairs and the readings of their fronts; `judged` as in `fronts`."""
    slices = {name: each for name, each in readings.items() if name.startswith(f"{COMPLETION} ")}
    won = {FOCUS: slices.pop(FOCUS)}
    costs, answers = _kind(readings, COST), _kind(readings, RELIABILITY)
    corrected = outcomes.filter(pl.col("task").is_in(focus))
    return [
        _gate(WON, won, _score(corrected, "corrected tasks", won[FOCUS])),
        _gate(SLICES, slices, *_slice_scores(outcomes, slices, judged)),
        _gate(COSTS, costs),
        _gate(ANSWERS, answers, figures={"failed": int(outcomes["failed"].sum())}),
    ]


def verdict(gates: Sequence[Gate], readings: Mapping[str, Reading]) -> tuple[Verdict, str]:
    """The verdict on the shadow so far, and its reason."""
    found = together(readings)
    if found == "failed":
        return found, refusals([gate for gate in gates if gate.lost])
    open_ones = [name for name, reading in readings.items() if not reading.met]
    if found == "not known":
        return found, f"not known yet: {', '.join(open_ones)}"
    return found, "every front is won or held on mirrored traffic"


def _kind(readings: Mapping[str, Reading], kind: str) -> dict[str, Reading]:
    """A front, and those of single tasks beside it."""
    return {name: each for name, each in readings.items() if name.split(" of ")[0] == kind}


def _gate(
    name: str,
    readings: Mapping[str, Reading],
    *scores: Score | None,
    figures: Mapping[str, int] | None = None,
) -> Gate:
    return Gate(
        name,
        passed=all(reading.met for reading in readings.values()),
        lost=any(reading.verdict == "lost" for reading in readings.values()),
        sentence="; ".join(f"{front} {reading}" for front, reading in readings.items()),
        scores=[score for score in scores if score is not None],
        figures=dict(figures or {}),
    )


def _slice_scores(
    outcomes: pl.DataFrame, slices: Mapping[str, Reading], judged: Mapping[str, float]
) -> list[Score | None]:
    scores = []
    for name, reading in slices.items():
        task = name.removeprefix(f"{COMPLETION} ")
        of_task = outcomes.filter(task=task)
        found = _alike(of_task, task, reading) or _score(of_task, task, reading)
        scores += [found, _preferred(of_task, task, reading, judged) if task in judged else None]
    return scores


def _preferred(
    outcomes: pl.DataFrame, task: str, reading: Reading, judged: Mapping[str, float]
) -> Score | None:
    """How often each side's answer was found better; none where nobody said anything."""
    said = window(outcomes.filter(pl.col("champion").is_null()), judged)["told"].drop_nulls()
    if said.is_empty():
        return None
    return Score(
        task,
        FOUND_BETTER,
        champion=Rate.of(int((said < 0).sum()), said.len()),
        candidate=Rate.of(int((said > 0).sum()), said.len()),
        verdict=reading.verdict,
        reading=reading,
    )


def _score(outcomes: pl.DataFrame, task: str, reading: Reading) -> Score | None:
    """Success on both sides; none where nobody could tell any."""
    told = outcomes.filter(pl.col("champion").is_not_null())
    if told.is_empty():
        return None
    return Score(
        task,
        "success",
        champion=Rate.of(int(told["champion"].sum()), told.height),
        candidate=Rate.of(int(told["candidate"].sum()), told.height),
        verdict=reading.verdict,
        reading=reading,
    )


def _alike(outcomes: pl.DataFrame, task: str, reading: Reading) -> Score | None:
    """Likeness to the champion, and the champion's to itself; none where it was not looked at."""
    asked = outcomes.drop_nulls("alike")
    if asked.is_empty():
        return None
    return Score(
        task,
        "agreement on mirrored calls",
        champion=None,
        candidate=Rate.of(int(asked["alike"].sum()), asked.height),
        itself=Rate.of(int(asked["itself"].sum()), asked.height),
        verdict=reading.verdict,
        reading=reading,
    )
