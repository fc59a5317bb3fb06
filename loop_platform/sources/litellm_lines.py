"""Lines of JSON as LiteLLM's callbacks log them, a `StandardLoggingPayload` each.

A call is named by LiteLLM's own `id` and its start, so that the same call logged by two callbacks
is one. The task is `metadata.requester_metadata.task`, what the caller sent as `metadata.task`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from loop_platform.sources.intake import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Recorded

_ENDPOINTS = {
    "completion": CHAT,
    "text_completion": COMPLETIONS,
    "embedding": EMBEDDINGS,
    "responses": RESPONSES,
}
"""By `call_type`; the asynchronous ones have an `a` before."""

_ASKED_IN = {CHAT: "messages", COMPLETIONS: "prompt", EMBEDDINGS: "input", RESPONSES: "input"}


class _Error(msgspec.Struct):
    error_code: str | int | None = None
    error_message: str | None = None


class _Payload(msgspec.Struct):
    id: str
    call_type: str
    startTime: float
    endTime: float
    model: str
    status: str = "success"
    completionStartTime: float | None = None
    stream: bool | None = None
    model_group: str | None = None
    trace_id: str | None = None
    end_user: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    messages: Any = None
    response: Any = None
    model_parameters: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    error_str: str | None = None
    error_information: _Error | None = None


_payload = msgspec.json.Decoder(_Payload)


def recorded(text: bytes) -> Recorded:
    """What a line tells; `ValueError` where that is no call."""
    payload = _payload.decode(text)
    endpoint = _ENDPOINTS.get(payload.call_type.removeprefix("a"))
    if endpoint is None:
        known = ", ".join(_ENDPOINTS)
        raise ValueError(f"its call_type {payload.call_type!r} is none of {known}")
    failed = payload.status != "success"
    response = _object(payload.response)
    if not failed and not response:
        raise ValueError("it succeeded, and its `response` is no object: was it redacted?")
    metadata = payload.metadata or {}
    sent = metadata.get("requester_metadata")
    told = sent if isinstance(sent, dict) else {}
    first = payload.completionStartTime if payload.stream else None
    return Recorded(
        name=f"{payload.id}\0{payload.startTime!r}",
        endpoint=endpoint,
        started_at=payload.startTime,
        latency_ms=(payload.endTime - payload.startTime) * 1000,
        first_byte_ms=None if first is None else (first - payload.startTime) * 1000,
        status=_status(payload.error_information) if failed else 200,
        streamed=bool(payload.stream),
        error=_error(payload) if failed else None,
        request=_request(payload, endpoint),
        response=response,
        prompt_tokens=payload.prompt_tokens,
        completion_tokens=payload.completion_tokens,
        task=told.get("task"),
        session=told.get("session") or payload.trace_id,
        user=payload.end_user or metadata.get("user_api_key_end_user_id"),
    )


def _request(payload: _Payload, endpoint: str) -> dict[str, Any]:
    """The body as its caller sent it, as far as LiteLLM keeps it."""
    asked: Any = payload.messages
    if isinstance(asked, str):
        asked = _decoded(asked)
    if endpoint == CHAT and not isinstance(asked, list):
        asked = [{"role": "user", "content": asked if isinstance(asked, str) else ""}]
    if endpoint == COMPLETIONS and isinstance(asked, list):
        asked = _prompt(asked)
    return {
        **(payload.model_parameters or {}),
        "model": payload.model_group or payload.model,
        _ASKED_IN[endpoint]: asked,
    }


def _prompt(messages: list[Any]) -> Any:  # noqa: ANN401  # a prompt is a text or texts
    """LiteLLM shows a text completion's prompt as one user message."""
    match messages:
        case [{"content": content}]:
            return content
    return messages


def _object(response: object) -> Mapping[str, Any]:
    if isinstance(response, str):
        response = _decoded(response)
    return response if isinstance(response, dict) else {}


def _decoded(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:  # plain text
        return text


def _error(payload: _Payload) -> str:
    told = payload.error_information
    return (told and told.error_message) or payload.error_str or "it failed, LiteLLM says"


def _status(error: _Error | None) -> int:
    code = str(error.error_code) if error is not None else ""
    return int(code) if code.isdigit() and 400 <= int(code) <= 599 else 500
