"""An engine that answers at once: 24 words in one piece, or 64 as so many events.

It does what a real one does with what it is asked for: log-probabilities and token counts come only
where they are asked for. It speaks plain asyncio, so that it takes little of the core that it
shares with the load generator. It is started as
`python -m traffic.engine PORT [SECONDS_BETWEEN_EVENTS]`.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from functools import cache

import httptools
import uvloop

WORDS = 24
EVENTS = 64

_STREAM = re.compile(rb'"stream"\s*:\s*true')
_LOGPROBS = re.compile(rb'"logprobs"\s*:\s*(true|1)')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')

_HEAD = {"id": "chatcmpl-0123456789abcdef", "created": 1790000000, "model": "r-1"}


def _counts(words: int) -> dict[str, int]:
    return {"prompt_tokens": 40, "completion_tokens": words, "total_tokens": 40 + words}


def _logprobs(words: int) -> dict[str, object]:
    token = {"token": " word", "logprob": -0.1234, "bytes": [32, 119, 111], "top_logprobs": []}
    return {"content": [token] * words, "refusal": None}


@cache
def whole(logprobs: bool) -> bytes:
    """The response to a request that does not stream."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": " word" * WORDS},
        "logprobs": _logprobs(WORDS) if logprobs else None,
        "finish_reason": "stop",
    }
    answer = _HEAD | {"object": "chat.completion", "choices": [choice], "usage": _counts(WORDS)}
    body = json.dumps(answer).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


@cache
def pieces(logprobs: bool, usage: bool) -> tuple[bytes, ...]:
    """The response to a request that streams, as it is written piece by piece."""
    kind = b"content-type: text/event-stream\r\ntransfer-encoding: chunked"
    head = b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % kind
    return (head, *_chunks(logprobs, usage), b"0\r\n\r\n")


def _chunks(logprobs: bool, usage: bool) -> Iterator[bytes]:
    head = _HEAD | {"object": "chat.completion.chunk"}
    for number in range(EVENTS):
        choice = {
            "index": 0,
            "delta": {"content": " word"},
            "logprobs": _logprobs(1) if logprobs else None,
            "finish_reason": "stop" if number == EVENTS - 1 else None,
        }
        yield _chunk(json.dumps(head | {"choices": [choice]}))
    if usage:
        yield _chunk(json.dumps(head | {"choices": [], "usage": _counts(EVENTS)}))
    yield _chunk("[DONE]")


def _chunk(data: str) -> bytes:
    event = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


class Engine(asyncio.Protocol):
    """One connection."""

    pause_s = 0.0
    """Between two events of a stream."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._body: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        self._body.clear()
        logprobs = _LOGPROBS.search(body) is not None
        if _STREAM.search(body):
            self._go_on(iter(pieces(logprobs, _USAGE.search(body) is not None)))
        else:
            self._transport.write(whole(logprobs))

    def _go_on(self, rest: Iterator[bytes]) -> None:
        """Writes one piece a turn of the loop, each a packet of its own."""
        piece = next(rest, None)
        if piece is None or self._transport.is_closing():
            return
        self._transport.write(piece)
        if self.pause_s:
            self._loop.call_later(self.pause_s, self._go_on, rest)
        else:
            self._loop.call_soon(self._go_on, rest)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    Engine.pause_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    uvloop.run(serve(int(sys.argv[1])))
