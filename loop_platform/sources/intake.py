"""Calls that did not come through the gateway, as the gateway's own records.

They are marked so that nobody takes them for its own: `source` says where they come from, their
route is `external`, and their release is `imported`, which no registered release can be called.
The same thing recorded elsewhere always becomes the same call, however often it is sent.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from loop_platform.gateway.tasks import task_of
from loop_platform.identity import CallIdentity
from loop_platform.records import Call, Source
from loop_platform.settings import Settings

IMPORTED = "imported"
"""The release that a call from elsewhere is counted under."""

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"

_LONGEST_NAME = 256
_LARGEST_COUNT = 2**53
_CLOCKS_APART_S = 60.0
"""So far may another machine's clock be ahead of ours."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What another system tells of one call."""

    name: str
    """What no other call of the tenant and the source has."""
    endpoint: str
    started_at: float
    """Seconds since the epoch."""
    latency_ms: float = 0.0
    first_byte_ms: float | None = None
    status: int = 200
    streamed: bool = False
    error: str | None = None
    """Why there is no whole answer; none where there is."""
    request: Mapping[str, Any]
    """The body that the model was asked with, in OpenAI's format."""
    response: Mapping[str, Any] = field(default_factory=dict)
    """The body that it answered with, in OpenAI's format."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    task: str | None = None
    session: str | None = None
    user: str | None = None


@dataclass(frozen=True)
class Intake:
    """Takes in what one source recorded for one tenant."""

    identity: CallIdentity
    settings: Settings
    source: Source
    tenant: str
    key_id: str = IMPORTED
    task: str | None = None
    """Of calls that name none, and whose model names none; else the settings' default."""

    def call(self, recorded: Recorded) -> Call:
        """The record; `ValueError` where it cannot be one, with the reason."""
        gateway = self.settings.gateway
        milliseconds = int(self._moment(recorded.started_at) * 1000)
        model = str(recorded.request.get("model") or "")
        task = _name(recorded.task, "task") or task_of(model, gateway.tasks_by_model)
        _check_messages(recorded.request)
        name = f"{self.source}\0{recorded.name}".encode()
        return Call(
            call_id=self.identity.mint_of(self.tenant, milliseconds, name),
            tenant=self.tenant,
            key_id=self.key_id,
            session=_name(recorded.session, "session"),
            user=_name(recorded.user, "user"),
            task=task or self.task or gateway.default_task,
            release=IMPORTED,
            route="external",
            source=self.source,
            endpoint=recorded.endpoint,
            started_at=recorded.started_at,
            first_byte_ms=_duration(recorded.first_byte_ms, "time to the first byte"),
            latency_ms=_duration(recorded.latency_ms, "latency") or 0.0,
            status=recorded.status,
            streamed=recorded.streamed,
            complete=recorded.error is None,
            error=recorded.error,
            request=msgspec.Raw(msgspec.json.encode(recorded.request)),
            response=msgspec.json.encode(recorded.response).decode(),
            prompt_tokens=_count(recorded.prompt_tokens, "prompt_tokens"),
            completion_tokens=_count(recorded.completion_tokens, "completion_tokens"),
        )

    def _moment(self, at: float) -> float:
        hour = datetime.strptime(self.settings.first_hour, "%Y-%m-%d-%H:%M")
        first = hour.replace(tzinfo=UTC).timestamp()
        if not first <= at <= time.time() + _CLOCKS_APART_S:
            raise ValueError(
                f"its time {at} is not between the first hour of the loop ({first:.0f}, the"
                " setting first_hour) and now"
            )
        return at


def _check_messages(request: Mapping[str, Any]) -> None:
    """Every later stage reads them as a list of objects."""
    messages = request.get("messages", [])
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise ValueError("its messages are no list of objects")


def _name(value: object, what: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_NAME or not value.isprintable():
        raise ValueError(
            f"its {what} is no printable text of at most {_LONGEST_NAME} characters:"
            f" {str(value)[:40]!r}"
        )
    return value


def _duration(value: float | None, what: str) -> float | None:
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise ValueError(f"its {what} is {value} ms")
    return value


def _count(value: object, what: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST_COUNT:
        raise ValueError(f"its {what} is {value!r}: no count")
    return value
