"""What people decided, as contests that a judge can be asked about: pairs that they judged, and
corrections that they accepted, where the corrected answer is better than the rejected one.

Pairs are what a judge will be asked about. Corrections are easier: their answers differ more, and
never tie. So where people judged enough pairs of a task, these alone count.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.identity import hour_of, milliseconds_of
from loop_platform.judging import people
from loop_platform.judging.contest import Contest, Verdict
from loop_platform.judging.people import PersonsVerdict
from loop_platform.lake import Lake

Source = Literal["pair", "correction"]

# A person's last word on an item counts.
_CORRECTED = """
    SELECT * FROM (
        SELECT DISTINCT ON (item_id) decision_id, item_id, verdict, chosen, decided_at
        FROM decisions WHERE verdict <> 'skip'
        ORDER BY item_id, decided_at DESC, decision_id DESC
    ) AS last JOIN review_items AS item USING (item_id)
    WHERE verdict IN ('accept', 'correct') AND btrim(item.answer) <> btrim(chosen)
"""
_LATEST = sa.text(f"{_CORRECTED} AND task = :task ORDER BY decided_at DESC LIMIT :limit")
_OF_CALLS = sa.text(f"{_CORRECTED} AND item.call_id = ANY(:calls)")


@dataclass(frozen=True)
class Decided:
    """What a person said of two answers."""

    contest: Contest
    source: Source
    said: Verdict
    decided_at: datetime


def latest(
    connection: sa.Connection, lake: Lake, task: str, *, enough: int, limit: int
) -> list[Decided]:
    """People's latest decisions on a task whose texts are still there: of pairs, and of corrections
    where there are not `enough` pairs."""
    pairs = _pairs(connection, lake, people.latest(connection, task, limit))
    return pairs if len(pairs) >= enough else pairs + _corrections(connection, task, limit)


def corrected(connection: sa.Connection, calls: Collection[str]) -> dict[str, str]:
    """The answer that people chose, of those of these calls that were corrected."""
    rows = connection.execute(_OF_CALLS, {"calls": list(calls)})
    return {row.call_id: row.chosen for row in rows}


def newest(connection: sa.Connection, tasks: Collection[str]) -> datetime | None:
    """When people last decided on any of these tasks."""
    query = sa.text("""
        SELECT max(decided_at) FROM (
            SELECT decided_at FROM pair_verdicts WHERE task = ANY(:tasks)
            UNION ALL
            SELECT decided_at FROM decisions JOIN review_items USING (item_id)
            WHERE task = ANY(:tasks)
        ) AS decided
    """)
    found: datetime | None = connection.execute(query, {"tasks": list(tasks)}).scalar_one()
    return found


def _corrections(connection: sa.Connection, task: str, limit: int) -> list[Decided]:
    return [
        Decided(
            Contest(row.decision_id, row.messages, one=row.chosen, other=row.answer),
            "correction",
            "one",
            row.decided_at,
        )
        for row in connection.execute(_LATEST, {"task": task, "limit": limit})
    ]


def _pairs(
    connection: sa.Connection, lake: Lake, verdicts: Sequence[PersonsVerdict]
) -> list[Decided]:
    """The candidate's answer is `one`, the champion's `other`."""
    calls = _calls(connection, lake, {verdict.pair_id for verdict in verdicts})
    champion = {row["call_id"]: row for row in calls if row["pair_id"] is None}
    candidate = {(row["pair_id"], row["release"]): row for row in calls if row["pair_id"]}
    said: dict[str, Verdict] = {"candidate": "one", "champion": "other"}
    found = []
    for verdict in verdicts:
        old = champion.get(verdict.pair_id)
        new = candidate.get((verdict.pair_id, verdict.release))
        if old is None or new is None:
            continue
        contest = Contest(
            f"{verdict.pair_id}/{verdict.person}",
            json.loads(old["messages"] or "[]"),
            one=new["answer"] or "",
            other=old["answer"] or "",
        )
        decided = said.get(verdict.verdict, "tie")
        found.append(Decided(contest, "pair", decided, verdict.decided_at))
    return found


def _calls(
    connection: sa.Connection, lake: Lake, pairs: Collection[str]
) -> Iterable[dict[str, str | None]]:
    """Both calls of these pairs. A copy is made right after its call, maybe in the next hour."""
    hours = {hour for pair_id in pairs for hour in (hour_of(pair_id), _hour_after(pair_id))}
    named = list(pairs)
    return (
        manifest.calls(connection, lake, hours=hours)
        .filter(pl.col("call_id").is_in(named) | pl.col("pair_id").is_in(named))
        .select("call_id", "pair_id", "release", "messages", "answer")
        .collect()
        .to_dicts()
    )


def _hour_after(identifier: str) -> str:
    at = datetime.fromtimestamp(milliseconds_of(identifier) / 1000, UTC) + timedelta(hours=1)
    return at.strftime("%Y-%m-%d-%H:00")
