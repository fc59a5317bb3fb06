"""What a segment adds to the sums."""

import logging
from collections.abc import Iterable

import sqlalchemy as sa

from loop_platform.logs import FIELDS
from loop_platform.observer import measures
from loop_platform.observer.sums import Sums, labels_of, read
from loop_platform.records import Call, Feedback, Record

logger = logging.getLogger(__name__)

_MOST_TASKS = 200
OTHER_TASKS = "(other)"
"""Callers name tasks as they like: beyond so many, they are counted together."""

_LOGGED = (
    "call_id",
    "tenant",
    "task",
    "release",
    "route",
    "source",
    "endpoint",
    "status",
    "streamed",
    "complete",
    "error",
    "latency_ms",
    "first_byte_ms",
    "prompt_tokens",
    "completion_tokens",
)
"""Of a call in the log: nothing that anyone said, and not who."""


class Counting:
    """`take` for `Following`: counts records, and logs calls where that is wanted."""

    def __init__(self, *, log_calls: bool) -> None:
        self._log_calls = log_calls
        self._tasks: set[str] = set()

    def take(self, connection: sa.Connection, records: Iterable[Record]) -> None:
        if not self._tasks:
            known = read(connection).get(measures.CALLS.name, {})
            self._tasks = {labels_of(labels)["task"] for labels in known}
        sums = Sums()
        for record in records:
            self._count(sums, record)
        sums.write(connection)

    def _count(self, sums: Sums, record: Record) -> None:
        for name, count in (record.redacted or {}).items():
            sums.add(measures.REDACTED, count, kind=name)
        if not isinstance(record, Call):
            kind = record.kind if isinstance(record, Feedback) else "contribution"
            sums.add(measures.FEEDBACK, kind=kind)
        elif record.source == "gateway":
            self._count_call(sums, record)
        else:
            sums.add(measures.ELSEWHERE, source=record.source)

    def _count_call(self, sums: Sums, call: Call) -> None:
        of = {"task": self._task(call.task), "release": call.release, "route": call.route}
        sums.add(measures.CALLS, **of, status=call.status)
        sums.add(measures.CUT, float(not call.complete), **of)
        sums.add(measures.TOKENS, call.prompt_tokens or 0, **of, kind="prompt")
        sums.add(measures.TOKENS, call.completion_tokens or 0, **of, kind="completion")
        sums.observe(measures.LATENCY, call.latency_ms / 1000, **of)
        if call.streamed and call.first_byte_ms is not None:
            sums.observe(measures.FIRST_BYTE, call.first_byte_ms / 1000, **of)
        if self._log_calls:
            logger.info("call", extra={FIELDS: {name: getattr(call, name) for name in _LOGGED}})

    def _task(self, task: str) -> str:
        if task not in self._tasks and len(self._tasks) >= _MOST_TASKS:
            return OTHER_TASKS
        self._tasks.add(task)
        return task
