"""What judges said beside what people said, decision by decision."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import judge_records
from loop_platform.judging.contest import Ruling
from loop_platform.judging.decisions import Decided
from loop_platform.judging.judges import TaskJudge

ATTACKED = "#planted"
"""Behind the subject of a decision that was asked about with an attack in the worse answer."""


@dataclass(frozen=True)
class Record:
    """What a judge said beside what a person said."""

    subject: str
    source: str
    person_said: str
    judge_said: str | None
    decided_at: datetime

    @property
    def agrees(self) -> bool:
        return self.person_said == self.judge_said


def records(connection: sa.Connection, judge: TaskJudge) -> list[Record]:
    """All that is known of a judge on its task, the latest decision first."""
    table = judge_records.c
    query = (
        sa.select(
            table.subject, table.source, table.person_said, table.judge_said, table.decided_at
        )
        .where(table.identity == judge.identity, table.task == judge.task)
        .order_by(table.decided_at.desc(), table.subject)
    )
    return [Record(*row) for row in connection.execute(query)]


def keep(connection: sa.Connection, judge: TaskJudge, decided: Decided, ruling: Ruling) -> None:
    """Writes down what a judge said; what it said first of a decision stands."""
    attacked = decided.contest.subject.endswith(ATTACKED)
    connection.execute(
        insert(judge_records)
        .values(
            identity=judge.identity,
            subject=decided.contest.subject,
            judge=judge.name,
            task=judge.task,
            source="planted" if attacked else decided.source,
            person_said=decided.said,
            judge_said=ruling.verdict,
            problem=ruling.problem,
            decided_at=decided.decided_at,
        )
        .on_conflict_do_nothing()
    )
