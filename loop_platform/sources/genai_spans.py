"""Spans of the GenAI semantic conventions as calls.

    https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/

A span that asks a model is a call; those of agents, tools and everything else are none. Its task is
the attribute `loop.task`, of the span or its resource; else that of the model's name. A framework
that wraps an instrumented client makes two spans of one call: both are taken.
"""

from collections.abc import Mapping
from typing import Any

from loop_platform.sources import genai_content
from loop_platform.sources.intake import CHAT, COMPLETIONS, EMBEDDINGS, Recorded
from loop_platform.sources.otlp import Attributes, Span

OWN_MARK = "loop.call_id"
"""What spans that this gateway exported have: they are its calls already."""

_ENDPOINTS = {
    "chat": CHAT,
    "generate_content": CHAT,
    "text_completion": COMPLETIONS,
    "completion": COMPLETIONS,
    "embeddings": EMBEDDINGS,
}

_PARAMETERS = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.top_k": "top_k",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.stop_sequences": "stop",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.choice.count": "n",
    "gen_ai.request.stream": "stream",
}

_STATUSES = {
    "BadRequestError": 400,
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "ConflictError": 409,
    "UnprocessableEntityError": 422,
    "RateLimitError": 429,
    "APITimeoutError": 504,
}
"""Of the errors that OpenAI's client raises, which instrumentations tell by their class."""


def recorded(span: Span) -> Recorded | None:
    """What the span tells of a call; None where it is of something else.

    Raises:
        ValueError: it asks a model, and is no whole span.
    """
    of = span.attributes
    operation = of.get("gen_ai.operation.name") or of.get("llm.request.type")
    endpoint = _ENDPOINTS.get(str(operation))
    if endpoint is None or OWN_MARK in of:
        return None
    if not (span.trace_id.strip("0") and span.span_id.strip("0")):
        raise ValueError("it has no trace_id or no span_id")
    if not 0 < span.started_at <= span.ended_at:
        raise ValueError(f"it starts at {span.started_at} and ends at {span.ended_at}")
    first = of.get("gen_ai.response.time_to_first_chunk")
    task = of.get("loop.task") or span.resource.get("loop.task")
    return Recorded(
        name=f"{span.trace_id}/{span.span_id}",
        endpoint=endpoint,
        started_at=span.started_at,
        latency_ms=(span.ended_at - span.started_at) * 1000,
        first_byte_ms=first * 1000 if isinstance(first, int | float) else None,
        status=_status(span),
        streamed=bool(of.get("gen_ai.request.stream") or first is not None),
        error=_error(span),
        request=_request(span, endpoint),
        response=_response(span, endpoint),
        prompt_tokens=_tokens(of, "input", "prompt"),
        completion_tokens=_tokens(of, "output", "completion"),
        task=task,
        session=_text(of.get("gen_ai.conversation.id") or of.get("session.id")),
        user=_text(of.get("user.id") or of.get("enduser.id")),
    )


def _request(span: Span, endpoint: str) -> dict[str, Any]:
    of = span.attributes
    body: dict[str, Any] = {"model": of.get("gen_ai.request.model")}
    messages = genai_content.prompt(span)
    if endpoint == CHAT:
        body["messages"] = messages
    else:
        said = [message.get("content") for message in messages]
        body["prompt" if endpoint == COMPLETIONS else "input"] = said[0] if len(said) == 1 else said
    body |= {name: of[key] for key, name in _PARAMETERS.items() if key in of}
    if tools := genai_content.decoded(of.get("gen_ai.tool.definitions")):
        body["tools"] = tools
    if of.get("gen_ai.output.type") == "json":
        body["response_format"] = {"type": "json_object"}
    return body


def _response(span: Span, endpoint: str) -> dict[str, Any]:
    if _error(span) is not None:
        return {"error": {"message": _error(span)}}
    of = span.attributes
    body: dict[str, Any] = {
        "id": of.get("gen_ai.response.id"),
        "created": int(span.started_at),
        "model": of.get("gen_ai.response.model"),
        "usage": {
            "prompt_tokens": _tokens(of, "input", "prompt"),
            "completion_tokens": _tokens(of, "output", "completion"),
        },
    }
    if endpoint == EMBEDDINGS:
        return body | {"object": "list", "data": []}
    choices = genai_content.choices(span)
    reasons = of.get("gen_ai.response.finish_reasons")
    for choice, reason in zip(choices, reasons if isinstance(reasons, list) else (), strict=False):
        choice["finish_reason"] = choice["finish_reason"] or reason
    if endpoint == COMPLETIONS:
        text = [
            {k: choice[k] for k in ("index", "finish_reason")}
            | {"text": choice["message"].get("content")}
            for choice in choices
        ]
        return body | {"object": "text_completion", "choices": text}
    return body | {"object": "chat.completion", "choices": choices}


def _tokens(of: Attributes, name: str, before: str) -> Any:  # noqa: ANN401  # the intake looks
    """The count, by its name or by that of the conventions before 1.27."""
    count = of.get(f"gen_ai.usage.{name}_tokens", of.get(f"gen_ai.usage.{before}_tokens"))
    return int(count) if isinstance(count, float) and count.is_integer() else count


def _text(value: Any) -> Any:  # noqa: ANN401  # the intake looks
    """Some count their users."""
    return str(value) if isinstance(value, int) else value


def _error(span: Span) -> str | None:
    kind = span.attributes.get("error.type")
    if not span.failed and kind is None:
        return None
    return span.message or f"it failed: {kind}"


def _status(span: Span) -> int:
    if _error(span) is None:
        return 200
    of: Mapping[str, Any] = span.attributes
    kind = str(of.get("error.type"))
    for told in (
        of.get("http.response.status_code"),
        _STATUSES.get(kind.rsplit(".", maxsplit=1)[-1], kind),
    ):
        if str(told).isdigit() and 400 <= int(str(told)) <= 599:
            return int(str(told))
    return 500
