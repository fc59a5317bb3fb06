"""One call on its way through the gateway, and the record that stays of it."""

import asyncio
import time
from dataclasses import dataclass, field

import msgspec

from loop_platform.gateway.allowance import Allowance
from loop_platform.gateway.asked import Asked
from loop_platform.gateway.events import Usage
from loop_platform.gateway.routing import Target
from loop_platform.keys import Key
from loop_platform.personal_data.frames import Redacted
from loop_platform.records import Call


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    status: int
    complete: bool
    error: str | None = None
    fault: bool = False
    """The release or its engine is to blame."""

    @property
    def good(self) -> bool:
        """A whole answer."""
        return self.complete and self.status == 200


@dataclass(slots=True)
class Exchange:
    call_id: str
    key: Key
    asked: Asked
    target: Target
    pair_id: str | None = None
    allowance: Allowance | None = None
    """What its tokens are taken from; a copy for the shadow costs nobody anything."""
    started_at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.perf_counter)
    first_byte: float | None = None
    received: list[bytes] = field(default_factory=list)
    """What the engine sent."""
    usage: Usage = field(default_factory=Usage)
    outcome: Outcome | None = None
    """Set once, when the call is closed."""
    redacted: asyncio.Future[Redacted] | None = None
    """Of the request, where the tenant asks for it."""
    recorded: asyncio.Task[None] | None = None
    """Enters the call when it is redacted."""

    def receive(self, data: bytes) -> None:
        """Takes note of what the engine sent."""
        if self.first_byte is None:
            self.first_byte = time.perf_counter()
        self.received.append(data)

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000

    def headers(self) -> dict[str, str]:
        """What every answer tells of its call; OpenAI's clients show `x-request-id`."""
        said = {
            "x-loop-call-id": self.call_id,
            "x-loop-release": self.target.release,
            "x-request-id": self.call_id,
        }
        return said if self.allowance is None else said | self.allowance.headers()

    def tokens(self) -> int:
        """What the call took, by the engine's count; where it gave none, a token for four bytes of
        what was said."""
        if self.usage.prompt_tokens is not None:
            return self.usage.prompt_tokens + (self.usage.completion_tokens or 0)
        if self.outcome is None or self.outcome.status != 200:
            return 0
        return (len(self.asked.body) + sum(map(len, self.received))) // 4

    def record(self, outcome: Outcome, latency_ms: float) -> Call:
        first = self.first_byte
        return Call(
            call_id=self.call_id,
            tenant=self.key.tenant,
            key_id=self.key.key_id,
            session=self.asked.session,
            user=self.asked.user,
            task=self.asked.task,
            release=self.target.release,
            route=self.target.route,
            pair_id=self.pair_id,
            endpoint=self.asked.endpoint,
            started_at=self.started_at,
            first_byte_ms=None if first is None else (first - self.started) * 1000,
            latency_ms=latency_ms,
            status=outcome.status,
            streamed=self.asked.stream,
            complete=outcome.complete,
            error=outcome.error,
            request=msgspec.Raw(self.asked.body),
            response=b"".join(self.received).decode(errors="replace"),
            prompt_tokens=self.usage.prompt_tokens,
            completion_tokens=self.usage.completion_tokens,
        )
