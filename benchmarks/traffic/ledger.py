"""Callers that write down what they were told, to be held against what the platform recorded."""

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass, field

import aiohttp

_PAUSE_S = 0.02
"""Before a caller that found nobody tries again."""


@dataclass
class Ledger:
    """Ids, as the callers got them."""

    answered: set[str] = field(default_factory=set)
    """Calls whose last byte came."""
    cut: set[str] = field(default_factory=set)
    """Streams that began and broke off."""
    feedback: set[str] = field(default_factory=set)
    """Feedback that was accepted."""
    refused: dict[int, int] = field(default_factory=dict)
    """Other statuses than 200 and 202, and how often."""


class Callers:
    """So many at once: whole answers, streams, and feedback on what was answered last."""

    def __init__(self, url: str, key: str, number: int, seed: int) -> None:
        self.ledger = Ledger()
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"}
        self._chances = [random.Random(f"{seed} {caller}") for caller in range(number)]
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Returns when `stop` was called and every caller ended its call."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(
            self._url, connector=connector, headers=self._headers, timeout=timeout
        ) as session:
            await asyncio.gather(*(self._call_on(session, chance) for chance in self._chances))

    def stop(self) -> None:
        self._over.set()

    async def _call_on(self, session: aiohttp.ClientSession, chance: random.Random) -> None:
        last: str | None = None
        while not self._over.is_set():
            try:
                if last is not None and chance.random() < 0.2:
                    await self._give(session, last)
                else:
                    last = await self._call(session, chance) or last
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_PAUSE_S)

    async def _call(self, session: aiohttp.ClientSession, chance: random.Random) -> str | None:
        """The id of the call, if it was answered."""
        stream = chance.random() < 0.4
        messages = [{"role": "user", "content": f"number {chance.random()}"}]
        asked = {"model": "loop", "messages": messages, "stream": stream}
        async with session.post("/v1/chat/completions", json=asked) as reply:
            if reply.status != 200:
                self._refused(reply.status)
                return None
            call_id = reply.headers["x-loop-call-id"]
            if not await (self._streamed if stream else self._whole)(reply, call_id):
                return None
            self.ledger.answered.add(call_id)
            return call_id

    async def _whole(self, reply: aiohttp.ClientResponse, call_id: str) -> bool:
        json.loads(await reply.read())
        return True

    async def _streamed(self, reply: aiohttp.ClientResponse, call_id: str) -> bool:
        received = b""
        with contextlib.suppress(aiohttp.ClientError):
            async for data in reply.content.iter_any():
                received += data
        if received.endswith(b"data: [DONE]\n\n"):
            return True
        self.ledger.cut.add(call_id)
        return False

    async def _give(self, session: aiohttp.ClientSession, call_id: str) -> None:
        body = {"call_id": call_id, "kind": "rating", "rating": 4}
        async with session.post("/v1/feedback", json=body) as reply:
            if reply.status != 202:
                self._refused(reply.status)
                return
            self.ledger.feedback.add((await reply.json())["feedback_id"])

    def _refused(self, status: int) -> None:
        self.ledger.refused[status] = self.ledger.refused.get(status, 0) + 1
