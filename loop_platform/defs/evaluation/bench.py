"""The bench of a trial: who says which answer of a pair is better, where no validator can.

In this order, for the tasks that the settings name: answers that are the same are a tie; no answer
is worse than any; what most people said of the pair; an answer that is the one that people
corrected the call to; the task's judge, while it is calibrated. What none of them tells waits, and
with it all that came after it (loop_platform/statistics/judged.py says why).

A judge goes through the pairs in the order in which they came, until its budget is spent. What it
said stands as long as it is in use and is the same judge; a person's word takes its place.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl
import sqlalchemy as sa

from loop_platform.judging import decisions, people
from loop_platform.judging.calibration import Calibration, calibration
from loop_platform.judging.contest import Contest, Ruling
from loop_platform.judging.judges import TaskJudge, judges
from loop_platform.settings import JudgingSettings

SAME, NONE, PEOPLE, CORRECTION, JUDGE = "same answer", "no answer", "people", "correction", "judge "
"""What `judged_by` says; of a judge, its name and identity follow. Null: nobody yet."""

_COLUMNS = pl.Schema({"preferred": pl.Float64, "judged_by": pl.String})


@dataclass(frozen=True)
class Bench:
    """What people said, and which judges are in use."""

    settings: JudgingSettings
    said: Mapping[str, float]
    """By pair: what most people said of it."""
    corrected: Mapping[str, str]
    """By pair: the answer that people chose for the call."""
    calibrations: Mapping[str, Calibration]
    """By task: its judge, in use or refused."""
    problems: dict[str, str] = field(default_factory=dict)
    """By task: what kept its judge from being asked, at this look."""

    @classmethod
    def of(
        cls,
        connection: sa.Connection,
        settings: JudgingSettings,
        release: str,
        pairs: Sequence[str],
    ) -> "Bench":
        """The bench at this moment; empty where no task is judged.

        Raises:
            UnknownJudgeError, ValueError: the settings name a judge that cannot be made.
        """
        if not settings.tasks:
            return cls(settings, {}, {}, {})
        at = datetime.now(UTC)
        return cls(
            settings,
            people.verdicts(connection, release),
            decisions.corrected(connection, pairs),
            {
                task: calibration(connection, judge, settings, at)
                for task, judge in judges(settings).items()
            },
        )

    def with_verdicts(self, outcomes: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
        """The pairs with `preferred`, candidate minus champion, and `judged_by`.

        `asked` has their `messages`. A pair with a judge and no preference was asked about in vain.
        """
        found = outcomes.with_columns(
            pl.lit(None, dtype).alias(name)
            for name, dtype in _COLUMNS.items()
            if name not in outcomes.columns
        )
        for task in self.settings.tasks:
            rows = found.filter(task=task).filter(pl.col("champion").is_null())
            told = [self._told(row) for row in rows.iter_rows(named=True)]
            found = _update(found, rows["pair_id"].to_list(), told)
            if (judge := self._in_use(task)) is not None:
                found = self._ask(judge, found, asked)
        return found

    def in_force(self, outcomes: pl.DataFrame) -> pl.DataFrame:
        """The pairs without what judges said that are not in use."""
        by_machine = pl.col("judged_by").str.starts_with(JUDGE).fill_null(value=False)
        gone = by_machine & ~pl.col("judged_by").is_in(self.in_use)
        return outcomes.with_columns(
            pl.when(~gone).then(pl.col(name)).alias(name) for name in _COLUMNS
        )

    @property
    def in_use(self) -> list[str]:
        """As what the judges that are calibrated stand in `judged_by`."""
        judges = (self._in_use(task) for task in self.settings.tasks)
        return [_signature(judge) for judge in judges if judge is not None]

    def judged(self, outcomes: pl.DataFrame) -> dict[str, float]:
        """The tasks that are judged pair by pair, and how much of a difference their verdicts show
        at least: all of it, where people gave them."""
        machines = outcomes.filter(pl.col("judged_by").str.starts_with(JUDGE))
        tasks = set(machines["task"])
        return {
            task: self.calibrations[task].keeps if task in tasks else 1.0
            for task in self.settings.tasks
        }

    def record(self, outcomes: pl.DataFrame) -> dict[str, Any]:
        """Of each task that is judged: by whom how many pairs, how many wait, and its judge."""
        found = {}
        for task in self.settings.tasks:
            rows = outcomes.filter(task=task).filter(pl.col("champion").is_null())
            by = rows["judged_by"].drop_nulls().value_counts().sort("judged_by")
            judge = self.calibrations.get(task)
            found[task] = {
                "pairs": rows.height,
                "by": dict(by.iter_rows()),
                "no verdict": rows.filter(_asked_in_vain).height,
                "wait": rows["judged_by"].null_count(),
                "judge": None if judge is None else judge.as_evidence(),
                "problem": self.problems.get(task),
            }
        return found

    def waiting(self, outcomes: pl.DataFrame, tasks: Collection[str]) -> int:
        """Pairs of these tasks that people are asked about and that nobody judged."""
        tasks = [task for task in tasks if self.settings.tasks[task].people]
        nobody = pl.col("champion").is_null() & pl.col("judged_by").is_null()
        return outcomes.filter(pl.col("task").is_in(tasks) & nobody).height

    def remarks(self, outcomes: pl.DataFrame) -> list[str]:
        """Why pairs wait, a sentence a task."""
        said = []
        for task, each in self.record(outcomes).items():
            refused = self.calibrations[task].refusal if task in self.calibrations else None
            reason = self.problems.get(task) or refused
            if each["wait"]:
                said.append(
                    f"{each['wait']} of {each['pairs']} pairs of {task} wait for a verdict"
                    + (f" ({reason})" if reason else "")
                )
        return said

    def _told(self, row: Mapping[str, Any]) -> tuple[float | None, str | None]:
        """A preference and by whom, without asking anyone anew."""
        champion = (row["champion_answer"] or "").strip()
        candidate = (row["candidate_answer"] or "").strip()
        if row["failed"]:
            return -1.0, NONE
        if champion == candidate:
            return 0.0, SAME
        if row["pair_id"] in self.said:
            return self.said[row["pair_id"]], PEOPLE
        chosen = self.corrected.get(row["pair_id"], "").strip()
        if chosen and chosen in (champion, candidate):
            return (1.0 if chosen == candidate else -1.0), CORRECTION
        return row["preferred"], row["judged_by"]

    def _in_use(self, task: str) -> TaskJudge | None:
        found = self.calibrations.get(task)
        return None if found is None or found.refusal is not None else found.judge

    def _ask(self, judge: TaskJudge, found: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
        """The first pairs that wait, as far as the budget goes."""
        by, name = pl.col("judged_by"), _signature(judge)
        of_task = found.filter(task=judge.task).filter(pl.col("champion").is_null())
        left = self.settings.budget - of_task.filter(by == name).height
        other_judge = by.str.starts_with(JUDGE) & (by != name)
        rows = of_task.filter(by.is_null() | other_judge).sort("pair_id").head(max(0, left))
        rows = rows.join(asked.select("pair_id", "messages"), on="pair_id", maintain_order="left")
        rulings = judge.rule([_contest(row) for row in rows.iter_rows(named=True)])
        heard = [
            (pair_id, ruling)
            for pair_id, ruling in zip(rows["pair_id"], rulings, strict=True)
            if ruling.asked
        ]
        if away := next((ruling for ruling in rulings if not ruling.asked), None):
            self.problems[judge.task] = f"judge {judge.name} could not be asked: {away.problem}"
        elif rows.height < of_task.filter(by.is_null() | other_judge).height:
            spent = f"the budget of {self.settings.budget} pairs is spent"
            self.problems[judge.task] = f"judge {judge.name}: {spent}"
        told = [(_value(ruling), name) for _, ruling in heard]
        return _update(found, [pair_id for pair_id, _ in heard], told)


_asked_in_vain = pl.col("judged_by").is_not_null() & pl.col("preferred").is_null()


def _signature(judge: TaskJudge) -> str:
    return f"{JUDGE}{judge.name} {judge.identity}"


def _contest(row: Mapping[str, Any]) -> Contest:
    return Contest(
        row["pair_id"],
        msgspec.json.decode(row["messages"] or "[]"),
        one=row["candidate_answer"] or "",
        other=row["champion_answer"] or "",
    )


def _value(ruling: Ruling) -> float | None:
    """Candidate minus champion: the candidate's answer is `one`."""
    return {"one": 1.0, "other": -1.0, "tie": 0.0, None: None}[ruling.verdict]


def _update(
    found: pl.DataFrame, pairs: Sequence[str], told: Sequence[tuple[float | None, str | None]]
) -> pl.DataFrame:
    """The pairs with what was told of some of them, null too."""
    if not pairs:
        return found
    news = pl.DataFrame(
        {
            "pair_id": pairs,
            "preferred": [preferred for preferred, _ in told],
            "judged_by": [by for _, by in told],
        },
        schema={"pair_id": pl.String, **_COLUMNS},
    )
    return found.update(news, on="pair_id", include_nulls=True)
