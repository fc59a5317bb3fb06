"""A small server that answers what a test tells it to, for the gateway to talk to."""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

EVENTS = "text/event-stream; charset=utf-8"


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Scripted:
    """An answer: its body in pieces, the rest of it when `go` is set."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    piece: int = 2**16
    go: threading.Event | None = None
    first: int = 0
    """So many bytes are sent before `go` is waited for."""
    cut: bool = False
    """The connection breaks off after the body."""


@dataclass
class ScriptedPeer:
    answer: Callable[[Received], Scripted]
    received: list[Received] = field(default_factory=list)
    hung_up: int = 0
    """Requests whose caller went away while they waited."""
    url: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked = Received(scope["path"], headers, body)
        self.received.append(asked)
        await self._send(self.answer(asked), receive, send)

    async def _send(self, answer: Scripted, receive: Receive, send: Send) -> None:
        if answer.go is not None and not answer.first and not await _came(answer.go, receive):
            self.hung_up += 1
            return
        headers = [(b"content-type", answer.kind.encode())]
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await send(start)
        await _pieces(answer.body[: answer.first], answer.piece, send)
        if answer.go is not None and answer.first and not await _came(answer.go, receive):
            self.hung_up += 1
            return
        await _pieces(answer.body[answer.first :], answer.piece, send)
        if answer.cut:
            raise ConnectionAbortedError("the engine is asked to break off")
        await send({"type": "http.response.body"})


async def _pieces(body: bytes, size: int, send: Send) -> None:
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _came(go: threading.Event, receive: Receive) -> bool:
    """Whether the word to go on came, and not the caller's end."""
    word = asyncio.create_task(asyncio.to_thread(go.wait, 60))
    end = asyncio.create_task(receive())  # type: ignore[arg-type]
    await asyncio.wait({word, end}, return_when=asyncio.FIRST_COMPLETED)
    if word.done():
        end.cancel()
        return True
    go.set()
    await word
    return False


def chat_answer(text: str = "hello", **more: Any) -> bytes:
    """An answer as engines give them, with spaces and an unknown field."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage}
    return json.dumps(body | {"x_unknown": {"kept": [1.50, None]}} | more, indent=1).encode()


def events(*payloads: dict[str, Any], done: bool = True, named: bool = False) -> bytes:
    """A stream; `named` as `/v1/responses` has them."""
    lines = []
    for payload in payloads:
        name = f"event: {payload['type']}\n" if named else ""
        lines.append(f"{name}data: {json.dumps(payload)}\n\n")
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()
