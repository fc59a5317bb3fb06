"""The shadow gates: the planned number of pairs, looked at once.

A task with a validator is judged by an exact paired test on who succeeded. A task without one
cannot be judged: what is looked at is whether the candidate would have said something else than the
champion said, word by word, more often than the champion itself when it is asked again. That can
turn a candidate away; it cannot speak for it, so the task ends "not known".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from loop_platform.defs.evaluation.evidence import Gate, Score, refusals
from loop_platform.defs.evaluation.offline_gates import ALPHA, is_worse
from loop_platform.defs.evaluation.scoring import judged
from loop_platform.release.trials import Verdict
from loop_platform.settings import GateSettings
from loop_platform.statistics.paired import Pairs, difference, p_better, p_worse
from loop_platform.statistics.proportions import Rate
from loop_platform.validators import Validator

FOCUS = "corrected_tasks_win_or_hold"
OTHERS = "other_tasks_hold"
ANSWERS = "mirrored_calls_are_answered"

NAMES = {
    FOCUS: "On mirrored traffic, the tasks that the cycle corrected win or hold.",
    OTHERS: "On mirrored traffic, no other task gets worse.",
    ANSWERS: "The candidate answers what the champion answered.",
}

NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Likeness:
    """For a task without a validator: who would have said what the champion said, call by call."""

    champion: Sequence[bool]
    """Asked the same again."""
    candidate: Sequence[bool]


def by_validator(rows: pl.DataFrame, task: str, validator: Validator, gates: GateSettings) -> Score:
    """Who succeeded on a task. Pairs that the validator cannot tell are left out of it."""
    told = [
        (old, new and not failed)
        for request, champion, candidate, failed in rows.select(
            "request", "champion_answer", "candidate_answer", "failed"
        ).iter_rows()
        if (old := judged(request, champion or "", validator)) is not None
        and (new := judged(request, candidate or "", validator)) is not None
    ]
    found = Pairs.of([old for old, _ in told], [new for _, new in told])
    return Score(
        task,
        "success",
        champion=Rate.of(found.champion, found.n),
        candidate=Rate.of(found.candidate, found.n),
        difference=difference(found),
        p_value=min(p_better(found), p_worse(found)),
        verdict=_verdict(found, gates),
    )


def by_likeness(task: str, seen: Likeness, gates: GateSettings) -> Score:
    """Whether the candidate strays from the champion more than the champion itself does."""
    found = Pairs.of(seen.champion, seen.candidate)
    return Score(
        task,
        "agreement on mirrored calls",
        champion=None,
        candidate=Rate.of(found.candidate, found.n),
        itself=Rate.of(found.champion, found.n),
        difference=difference(found),
        p_value=p_worse(found),
        verdict="lost" if is_worse(found, gates.max_task_loss) else NOT_KNOWN,
    )


def judge(
    rows: pl.DataFrame, scores: Mapping[str, Score], focus: Sequence[str], gates: GateSettings
) -> list[Gate]:
    """The gates, from the score of every task."""
    corrected = [score for task, score in scores.items() if task in focus]
    others = [score for task, score in scores.items() if task not in focus]
    failed = int(rows["failed"].sum())
    errors = Rate.of(failed, rows.height)
    return [
        _gate(FOCUS, corrected, "the mirrored calls were of other tasks"),
        _gate(OTHERS, others, "the mirrored calls were of the corrected tasks alone"),
        Gate(
            ANSWERS,
            errors.low <= gates.max_error_share,
            f"{failed} of {rows.height} mirrored calls failed; {gates.max_error_share:.1%} is the"
            f" limit, the interval begins at {errors.low:.1%}",
        ),
    ]


def unknown(scores: Mapping[str, Score]) -> list[str]:
    """The tasks that nobody could judge."""
    return [task for task, score in scores.items() if score.verdict == NOT_KNOWN]


def verdict(gates: Sequence[Gate], unknown: Sequence[str]) -> tuple[Verdict, str]:
    """The verdict on the whole shadow, and its reason."""
    if not all(found.passed for found in gates):
        return "failed", refusals(gates)
    if unknown:
        return "not known", f"no validator judges {', '.join(unknown)}; nothing got worse elsewhere"
    return "passed", "no task got worse on mirrored traffic"


def _gate(name: str, scores: Sequence[Score], nothing: str) -> Gate:
    if not scores:
        return Gate(name, True, nothing)
    said = ", ".join(f"{score.task} {score.verdict}" for score in scores)
    return Gate(name, all(score.verdict != "lost" for score in scores), said, scores)


def _verdict(found: Pairs, gates: GateSettings) -> str:
    """`kept`: the interval shows that no more than the margin is lost; `held`: nothing shows that
    anything is lost, which for few pairs is not the same.
    """
    if found.n == 0:
        return NOT_KNOWN
    if p_better(found) < ALPHA:
        return "won"
    if is_worse(found, gates.shadow_margin):
        return "lost"
    if found.champion / found.n < gates.retained_from:
        return "not counted: the champion cannot do it"
    return "kept" if difference(found).low >= -gates.shadow_margin else "held"
