"""The callers of a drill: users of its own, who ask at a stated pace and say what they think.

They ask for one token, so that a small machine answers many, and tell the drill's tasks apart by
what they write. What everyone else asks is never counted.
"""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from loop_platform.drilling.names import IMPROVED, KEPT, mark

_AT_ONCE = 12
_USERS = 100_000
_IMPROVED_SHARE = 0.15
_TIMEOUT_S = 120.0

Opinion = Callable[[str], int | None]
"""The stars that users give to an answer; None where they say nothing."""


@dataclass(frozen=True)
class Answer:
    """What came of a call."""

    sent_at: float
    """By this machine's clock, as `ended_at`."""
    ended_at: float
    status: int
    """0 where none came."""
    release: str | None
    text: str


@dataclass
class Calls:
    """What callers got while the drill went on."""

    answers: list[Answer] = field(default_factory=list)
    complaints: Counter[str] = field(default_factory=Counter)
    """By release."""

    @property
    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != httpx.codes.OK]

    def __str__(self) -> str:
        made, failed = len(self.answers), self.failed
        if not failed:
            return f"{made} calls, none failed"
        span = failed[-1].ended_at - failed[0].ended_at
        return f"{made} calls, {len(failed)} failed within {span:.1f} s"


class Callers:
    """They call `pace` times a second, from `start` to `stop`."""

    def __init__(self, gateway: str, key: str, pace: float) -> None:
        self.calls = Calls()
        self.opinion: Opinion = lambda _answer: None
        self._gateway = gateway
        self._headers = {"authorization": f"Bearer {key}"}
        self._pace = pace
        self._stopping = threading.Event()
        self._turn = threading.Lock()
        self._due = time.monotonic()
        self._numbers: Iterator[int] = itertools.count()
        self._chance = random.Random(17)
        self._threads = [
            threading.Thread(target=self._work, name="drill-caller", daemon=True)
            for _ in range(_AT_ONCE)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        deadline = time.monotonic() + 60
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))

    def release(self) -> str | None:
        """The release that answers a call now; None where none does."""
        with self._client() as client:
            answer, _ = self._ask(client, IMPROVED, "0")
        return answer.release if answer.status == httpx.codes.OK else None

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._gateway, headers=self._headers, timeout=_TIMEOUT_S)

    def _work(self) -> None:
        with self._client() as client:
            while (asked := self._next()) is not None:
                task, user = asked
                answer, call_id = self._ask(client, task, user)
                self.calls.answers.append(answer)
                if call_id is not None:
                    self._say(client, answer, call_id, user)

    def _next(self) -> tuple[str, str] | None:
        """The task and the user of the next call, when it is due; None when there is none."""
        with self._turn:
            self._due = max(self._due + 1 / self._pace, time.monotonic())
            wait = self._due - time.monotonic()
            task = IMPROVED if self._chance.random() < _IMPROVED_SHARE else KEPT
            user = f"drilled-{self._chance.randrange(_USERS)}"
        return None if self._stopping.wait(max(0.0, wait)) else (task, user)

    def _ask(self, client: httpx.Client, task: str, user: str) -> tuple[Answer, str | None]:
        """The answer, and the call's id where it is one that somebody may have an opinion of."""
        prompt = f"Hi. {mark(task)} {next(self._numbers)}"
        body = {
            "model": "loop",
            "max_tokens": 1,
            "user": user,
            "messages": [{"role": "user", "content": prompt}],
        }
        sent = time.time()
        try:
            reply = client.post("/v1/chat/completions", json=body, headers={"x-loop-task": task})
        except httpx.HTTPError:
            return Answer(sent, time.time(), 0, None, ""), None
        said, headers = reply.content, reply.headers
        good = reply.status_code == httpx.codes.OK
        text = _text(reply.json()) if good and said else ""
        answer = Answer(sent, time.time(), reply.status_code, headers.get("x-loop-release"), text)
        return answer, headers.get("x-loop-call-id") if good else None

    def _say(self, client: httpx.Client, answer: Answer, call_id: str, user: str) -> None:
        stars = self.opinion(answer.text)
        if stars is None:
            return
        body = {"call_id": call_id, "kind": "rating", "rating": stars, "user": user}
        try:
            reply = client.post("/v1/feedback", json=body)
        except httpx.HTTPError:
            return
        if reply.status_code == httpx.codes.ACCEPTED and answer.release is not None:
            self.calls.complaints[answer.release] += 1


def _text(body: dict[str, Any]) -> str:
    return str(body["choices"][0]["message"]["content"] or "")
