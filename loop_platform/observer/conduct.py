"""What callers got of each release and objected to: the guardrails of a canary compare it with the
champion's (loop_platform/release/conduct.py).

It is read off the journal, so that no call waits for it and no worker has to know what another
answered. A minute is that of the call's id.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from loop_platform.database import canary_answers, conduct, objections
from loop_platform.defs.monitoring.signals.refusal import declines
from loop_platform.defs.telemetry.answered import answer_of
from loop_platform.identity import first_id, milliseconds_of
from loop_platform.records import Call, Feedback, Record

_MINUTE_MS = 60_000


@dataclass(slots=True)
class _Sums:
    answers: int = 0
    declined: int = 0
    metered: int = 0
    tokens: int = 0
    tokens_squared: float = 0.0

    def add(self, call: Call) -> None:
        text, tokens = answer_of(call).text, call.completion_tokens
        self.answers += 1
        self.declined += bool(text) and declines(text or "")
        if tokens is not None:
            self.metered += 1
            self.tokens += tokens
            self.tokens_squared += float(tokens) ** 2


_SUMMED = tuple(_Sums.__slots__)


def take(connection: sa.Connection, records: Sequence[Record]) -> None:
    """Add what a segment holds, in one order for all who do so, so that none waits in a circle."""
    answered = [one for one in records if isinstance(one, Call) and _is_answer(one)]
    _add(connection, answered)
    met = {call.call_id: call.release for call in answered if call.route == "canary"}
    said = {one.call_id for one in records if isinstance(one, Feedback) and one.objects}
    _enter(connection, canary_answers, [{"call_id": id, "release": met[id]} for id in sorted(met)])
    _enter(connection, objections, [{"call_id": id} for id in sorted(said)])


def forget(connection: sa.Connection, kept_s: float) -> None:
    """Remove what was said of calls that are older."""
    oldest = first_id(int(1000 * (time.time() - kept_s)))
    for table in (canary_answers, objections):
        connection.execute(sa.delete(table).where(table.c.call_id < oldest))


def _is_answer(call: Call) -> bool:
    return call.source == "gateway" and call.complete and call.status == 200


def _add(connection: sa.Connection, answered: Sequence[Call]) -> None:
    sums: defaultdict[tuple[str, str, int], _Sums] = defaultdict(_Sums)
    for call in answered:
        minute = milliseconds_of(call.call_id) // _MINUTE_MS
        sums[call.release, call.route, minute].add(call)
    if not sums:
        return
    rows = [
        {
            "release": release,
            "route": route,
            "minute": datetime.fromtimestamp(60 * minute, UTC),
            **{name: getattr(each, name) for name in _SUMMED},
        }
        for (release, route, minute), each in sorted(sums.items(), key=lambda item: item[0])
    ]
    statement = insert(conduct).values(rows)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["release", "route", "minute"],
            set_={name: conduct.c[name] + statement.excluded[name] for name in _SUMMED},
        )
    )


def _enter(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table).values(rows).on_conflict_do_nothing())
