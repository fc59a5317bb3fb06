"""Lines of JSON with a request and its answer in OpenAI's format.

`{"request": …, "response": …}` and, where they are known, `task`, `user`, `session`, `started_at`
(seconds since the epoch; the answer's `created` otherwise), `latency_ms`, `first_byte_ms` and
`status`. A line is its own name: the same line is always the same call.
"""

from typing import Any

import msgspec

from loop_platform.sources.intake import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Recorded


class _Line(msgspec.Struct):
    request: dict[str, Any]
    response: dict[str, Any]
    task: str | None = None
    user: str | None = None
    session: str | None = None
    started_at: float | None = None
    latency_ms: float = 0.0
    first_byte_ms: float | None = None
    status: int = 200


_line = msgspec.json.Decoder(_Line)


def recorded(text: bytes) -> Recorded:
    """What a line tells; `ValueError` where that is no call."""
    line = _line.decode(text)
    failed = line.response.get("error")
    endpoint = _endpoint(line.request, line.response, answered=failed is None)
    counted = line.response.get("usage")
    usage = counted if isinstance(counted, dict) else {}
    return Recorded(
        name=text.decode(),
        endpoint=endpoint,
        started_at=_started_at(line),
        latency_ms=line.latency_ms,
        first_byte_ms=line.first_byte_ms,
        status=500 if failed is not None and line.status == 200 else line.status,
        streamed=bool(line.request.get("stream")),
        error=None if failed is None else msgspec.json.encode(failed).decode()[:500],
        request=line.request,
        response=line.response,
        prompt_tokens=usage.get("prompt_tokens", usage.get("input_tokens")),
        completion_tokens=usage.get("completion_tokens", usage.get("output_tokens")),
        task=line.task,
        session=line.session,
        user=line.user or line.request.get("user"),
    )


def _endpoint(request: dict[str, Any], response: dict[str, Any], *, answered: bool) -> str:
    """Where such a request goes, by the field that it cannot do without."""
    if "messages" in request:
        endpoint, answer = CHAT, "choices"
    elif "prompt" in request:
        endpoint, answer = COMPLETIONS, "choices"
    elif "input" in request and "data" in response:
        endpoint, answer = EMBEDDINGS, "data"
    elif "input" in request:
        endpoint, answer = RESPONSES, "output"
    else:
        raise ValueError("its request has neither `messages` nor `prompt` nor `input`")
    if answered and not response.get(answer):
        raise ValueError(f"its response has no `{answer}`")
    return endpoint


def _started_at(line: _Line) -> float:
    at = line.started_at
    if at is None:
        at = line.response.get("created", line.response.get("created_at"))
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise ValueError("it has no time: neither `started_at` nor the response's `created`")
    return float(at)
