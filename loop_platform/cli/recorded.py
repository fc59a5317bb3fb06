"""Calls that were recorded elsewhere, as the gateway's own records.

A line of JSON a call: `{"request": …, "response": …}` in OpenAI's format, and, where they are
known, `task`, `user`, `session`, `started_at` (seconds since the epoch; the answer's `created`
otherwise) and `latency_ms`. The same line always becomes the same call: importing a file twice adds
nothing.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from loop_platform.identity import CallIdentity
from loop_platform.records import Call
from loop_platform.settings import settings

IMPORTED = "imported"
"""The release that an imported call's answer is counted under."""
_SHOWN = 5


class RecordedError(ValueError):
    """A file with lines that are no recorded calls: none of it is imported."""


class _Line(msgspec.Struct):
    request: dict[str, Any]
    response: dict[str, Any]
    task: str | None = None
    user: str | None = None
    session: str | None = None
    started_at: float | None = None
    latency_ms: float = 0.0


def recorded_calls(file: Path, *, tenant: str, task: str, identity: CallIdentity) -> list[Call]:
    """The calls in `file`; `task` is that of a line that names none.

    Raises:
        RecordedError: some line is no recorded call.
    """
    calls, wrong = [], []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                calls.append(_call(line.strip(), tenant, task, identity))
            except (msgspec.DecodeError, ValueError) as error:
                wrong.append(f"line {number}: {error}")
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise RecordedError(
            f"{file}: {len(wrong)} of {len(wrong) + len(calls)} lines are no recorded calls, and"
            f" nothing was imported: {'; '.join(wrong[:_SHOWN])}{more}"
        )
    return calls


def _call(text: bytes, tenant: str, task: str, identity: CallIdentity) -> Call:
    line = msgspec.json.decode(text, type=_Line)
    chat = "messages" in line.request
    if not chat and "prompt" not in line.request:
        raise ValueError("its request has neither `messages` nor `prompt`")
    if not line.response.get("choices"):
        raise ValueError("its response has no `choices`")
    started_at = _started_at(line)
    usage = line.response.get("usage") or {}
    return Call(
        call_id=identity.mint_of(tenant, int(started_at * 1000), text),
        tenant=tenant,
        key_id=IMPORTED,
        session=line.session,
        user=line.user or line.request.get("user"),
        task=line.task or task,
        release=IMPORTED,
        route="champion",
        endpoint="/v1/chat/completions" if chat else "/v1/completions",
        started_at=started_at,
        first_byte_ms=None,
        latency_ms=line.latency_ms,
        status=200,
        streamed=False,
        complete=True,
        error=None,
        request=msgspec.Raw(msgspec.json.encode(line.request)),
        response=msgspec.json.encode(line.response).decode(),
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
    )


def _started_at(line: _Line) -> float:
    at = line.started_at if line.started_at is not None else line.response.get("created")
    if at is None:
        raise ValueError("it has no time: neither `started_at` nor the response's `created`")
    hour = datetime.strptime(settings().first_hour, "%Y-%m-%d-%H:%M")
    first = hour.replace(tzinfo=UTC).timestamp()
    if not first <= float(at) <= time.time():
        raise ValueError(
            f"its time {at} is not between the first hour of the loop ({first:.0f}, the setting"
            " first_hour) and now"
        )
    return float(at)
