"""A call as a signal sees it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

_ASKS_FOR_JSON = re.compile(r"\bJSON\b", re.IGNORECASE)


@dataclass(frozen=True)
class ObservedCall:
    """One call, its answer, and how near it is to the calls before it."""

    request: Mapping[str, Any]
    messages: list[dict[str, Any]]
    answer: str | None
    complete: bool
    status: int
    finish_reason: str | None
    latency_ms: float
    completion_tokens: int | None
    mean_logprob: float | None
    min_logprob: float | None
    nearest: float | None
    """Cosine similarity of the prompt to the most similar prompt before it, if there are enough."""

    @classmethod
    def of(cls, row: Mapping[str, Any], nearest: float | None) -> "ObservedCall":
        """A row of `telemetry/calls`."""
        request = _decoded(row["request"])
        messages = _decoded(row["messages"])
        return cls(
            request=request if isinstance(request, dict) else {},
            messages=messages if isinstance(messages, list) else [],
            nearest=nearest,
            **{name: row[name] for name in _COLUMNS},
        )

    @cached_property
    def prompt(self) -> str:
        """The text of the last user message."""
        for message in reversed(self.messages):
            if isinstance(message, dict) and message.get("role") == "user":
                return text_of(message.get("content"))
        return ""

    @cached_property
    def wants_json(self) -> bool:
        """Whether the answer was to be JSON: by `response_format`, `text.format` where the request
        is for a response, or by the system's words."""
        form = self.request.get("response_format")
        text = self.request.get("text")
        if form is None and isinstance(text, dict):
            form = text.get("format")
        if isinstance(form, dict) and form.get("type") in ("json_object", "json_schema"):
            return True
        system = (m for m in self.messages if isinstance(m, dict) and m.get("role") == "system")
        return any(_ASKS_FOR_JSON.search(text_of(message.get("content"))) for message in system)


_COLUMNS = (
    "answer",
    "complete",
    "status",
    "finish_reason",
    "latency_ms",
    "completion_tokens",
    "mean_logprob",
    "min_logprob",
)


def text_of(content: object) -> str:
    """A message's content: a string, or parts of which the text ones count."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _decoded(text: str | None) -> object:
    try:
        return msgspec.json.decode(text or "null")
    except msgspec.DecodeError:  # raw JSON can hold escapes that stand for no character
        return None
