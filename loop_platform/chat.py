"""Asks an engine many questions at once, over its OpenAI API, and says what each answer cost.

For evaluations: deterministic requests, bounded answers, a bounded number in flight. Traffic goes
through the gateway. Model judges are asked in the same way.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

Body = Mapping[str, Any]

# An engine that restarts, or that is full, is asked again after a pause.
_TRY_AGAIN = frozenset({429, 502, 503})
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True)
class Reply:
    """An answer, or the error in its place."""

    text: str
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    error: str | None = None
    ranks: Sequence[int] = ()
    """Of the prompt's tokens but the first, where `prompt_logprobs` asked for them; 1 is the token
    that the model itself would have put there."""
    status: int = 200
    """Of HTTP; 0 where no answer came."""


@dataclass(frozen=True)
class Chat:
    """Where a release answers, and under which name."""

    url: str
    model: str
    timeout_s: float = 120.0
    pauses_s: Sequence[float] = (0.5, 2.0, 5.0)
    """Before each further try, while the engine is away or full; more where it asks for more."""
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def ask(
        self,
        bodies: Sequence[Body],
        concurrency: int,
        on_reply: Callable[[], None] = lambda: None,
    ) -> list[Reply]:
        """One reply a request body (`messages` and parameters), in their order."""
        turns = asyncio.Semaphore(concurrency)
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        connector = aiohttp.TCPConnector(limit=concurrency)
        async with aiohttp.ClientSession(
            timeout=timeout, connector=connector, headers=self.headers
        ) as session:

            async def in_turn(body: Body) -> Reply:
                async with turns:
                    reply = await self._insist(session, body)
                on_reply()
                return reply

            return await asyncio.gather(*(in_turn(body) for body in bodies))

    async def _insist(self, session: aiohttp.ClientSession, body: Body) -> Reply:
        for pause in self.pauses_s:
            reply, at_the_earliest_s = await self._once(session, body)
            if at_the_earliest_s is None:
                return reply
            await asyncio.sleep(max(pause, at_the_earliest_s))
        reply, _ = await self._once(session, body)
        return reply

    async def _once(self, session: aiohttp.ClientSession, body: Body) -> tuple[Reply, float | None]:
        """A reply, and in how many seconds another try is worth it; None if it is not."""
        started = time.monotonic()
        asked = {**body, "model": self.model, "stream": False}
        try:
            async with session.post(f"{self.url}{self.path}", json=asked) as response:
                content = await response.read()
                seconds = time.monotonic() - started
                if response.status != 200:
                    error = f"HTTP {response.status}: {content[:200].decode(errors='replace')}"
                    failed = _failed(error, seconds, response.status)
                    again = response.status in _TRY_AGAIN
                    return failed, _asked_to_wait(response.headers) if again else None
                return _reply(content, seconds), None
        except (aiohttp.ClientError, TimeoutError) as error:
            refused = isinstance(error, aiohttp.ClientConnectionError)
            sentence = f"{type(error).__name__}: {error}"
            return _failed(sentence, time.monotonic() - started), 0.0 if refused else None


def _asked_to_wait(headers: Mapping[str, str]) -> float:
    """What `retry-after` says in seconds; it may be a date, which nobody here sends."""
    given = headers.get("retry-after", "")
    return min(_LONGEST_PAUSE_S, float(given)) if given.isdecimal() else 0.0


def _reply(content: bytes, seconds: float) -> Reply:
    try:
        body = json.loads(content)
        text = body["choices"][0]["message"]["content"] or ""
        usage = body.get("usage") or {}
        ranks = [_rank(token) for token in body.get("prompt_logprobs") or () if token]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        return _failed(f"no chat completion ({error}): {content[:200]!r}", seconds, 200)
    return Reply(
        text=text,
        seconds=seconds,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        ranks=ranks,
    )


def _rank(token: Mapping[str, Any]) -> int:
    """`token` maps the one id that stands there to what the model thought of it."""
    return int(next(iter(token.values()))["rank"])


def _failed(error: str, seconds: float, status: int = 0) -> Reply:
    return Reply("", seconds, prompt_tokens=0, completion_tokens=0, error=error, status=status)
