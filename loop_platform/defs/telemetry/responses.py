"""Calls of `/v1/responses`, in the words of chat: the conversation that was asked, the answer.

What chat has no words for (reasoning, searches, pictures made) is left out; the raw request and
response stay in the table.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from loop_platform.defs.telemetry.answer import Answer, Object, payloads

_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")

_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def read_response(response: str) -> Answer:
    """The answer in a response's body: JSON, or the events of its stream."""
    answer = Answer()
    pieces: list[str] = []
    for payload in payloads(response):
        kind = payload.get("type")
        if payload.get("object") == "response":
            return _whole(payload)
        if kind in _ENDS and isinstance(payload.get("response"), dict):
            return _whole(payload["response"])
        if kind == "response.output_text.delta" and isinstance(payload.get("delta"), str):
            pieces.append(payload["delta"])
            answer.logprobs.extend(_logprobs(payload))
    answer.text = "".join(pieces) if pieces else None  # the stream was cut
    return answer


def messages_of_response(body: Object) -> list[dict[str, Any]]:
    """The conversation in a request: its instructions, and its input as messages."""
    said: list[dict[str, Any]] = []
    if isinstance(body.get("instructions"), str):
        said.append({"role": "system", "content": body["instructions"]})
    given = body.get("input")
    if isinstance(given, str):
        return [*said, {"role": "user", "content": given}]
    for item in _objects(given):
        message = _message(item)
        if message is not None:
            said.append(message)
    return said


def _message(item: Object) -> dict[str, Any] | None:
    kind = item.get("type", "message")
    if kind == "message" and isinstance(item.get("role"), str):
        return {"role": item["role"], "content": _content(item.get("content"))}
    if kind == "function_call":
        call = {"id": item.get("call_id"), "type": "function", "function": _function(item)}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind == "function_call_output":
        content = _content(item.get("output"))
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
    return None


def _content(given: object) -> object:
    """Text where there is nothing but text; else the parts, as chat calls them."""
    if not isinstance(given, list):
        return given if isinstance(given, str) else None
    parts = [_part(part) for part in _objects(given)]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(str(part["text"]) for part in parts)
    return parts


def _part(part: Object) -> dict[str, Any]:
    if part.get("type") in ("input_text", "output_text", "text"):
        return {"type": "text", "text": part.get("text") or ""}
    if part.get("type") == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    return dict(part) | {"type": str(part.get("type"))}


def _whole(response: Object) -> Answer:
    answer = Answer()
    texts: list[str] = []
    calls: list[dict[str, str]] = []
    for item in _objects(response.get("output")):
        if item.get("type") == "function_call":
            calls.append(_function(item))
        for part in _objects(item.get("content")) if item.get("type") == "message" else []:
            text = part.get("text") if part.get("type") == "output_text" else part.get("refusal")
            if isinstance(text, str):
                texts.append(text)
            answer.logprobs.extend(_logprobs(part))
    answer.text = "".join(texts) if texts else None
    if calls and not answer.text:
        answer.text = msgspec.json.encode(calls).decode()
    answer.finish_reason = _finish_reason(response, calls)
    return answer


def _finish_reason(response: Object, calls: list[dict[str, str]]) -> str | None:
    """As chat says it."""
    if response.get("status") == "completed":
        return "tool_calls" if calls else "stop"
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details") or {}
        reason = details.get("reason") if isinstance(details, dict) else None
        return _REASONS.get(str(reason), "length")
    return None


def _function(item: Object) -> dict[str, str]:
    return {name: str(item.get(name) or "") for name in ("name", "arguments")}


def _logprobs(given: Object) -> Iterator[float]:
    for token in _objects(given.get("logprobs")):
        if isinstance(token.get("logprob"), int | float):
            yield float(token["logprob"])


def _objects(given: object) -> list[dict[str, Any]]:
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
