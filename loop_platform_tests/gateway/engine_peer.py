"""A small server that speaks OpenAI's chat API, for the gateway to talk to.

What the last message says decides how it behaves: `slow`, `cut`, `fail`, `mistake`, anything else
is echoed, a word an event.
"""

import asyncio
import json
from typing import Any

from starlette.types import Receive, Scope, Send


class EnginePeer:
    def __init__(self, model: str) -> None:
        self.model = model
        self.bodies: list[bytes] = []
        """What came in."""
        self.hung_up = 0
        """Requests whose caller went away before their answer was whole."""

    @property
    def received(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] in ("http", "lifespan")
        if scope["type"] == "lifespan":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        asked = json.loads(body)
        said = asked["messages"][-1]["content"] if "messages" in asked else asked["prompt"]
        if asked["model"] != self.model:
            await _whole(send, 404, {"error": {"message": f"no model {asked['model']}"}})
        elif said == "fail":
            await _whole(send, 500, {"error": {"message": "out of memory"}})
        elif said == "mistake":
            await _whole(send, 400, {"error": {"message": "temperature has to be positive"}})
        elif asked.get("stream"):
            await self._stream(asked, said, receive, send)
        else:
            await self._answer(asked, said, receive, send)

    async def _answer(self, asked: dict[str, Any], said: str, receive: Receive, send: Send) -> None:
        if said == "slow" and await self._left(receive, 10.0):
            return
        chat = "messages" in asked
        text = f"echo {said}"
        content = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        choice = {
            "index": 0,
            **content,
            "logprobs": _logprobs(asked, text),
            "finish_reason": "stop",
        }
        await _whole(
            send,
            200,
            {
                "id": "chatcmpl-1",
                "model": self.model,
                "choices": [choice],
                "usage": {"prompt_tokens": 7, "completion_tokens": len(text.split())},
            },
        )

    async def _stream(self, asked: dict[str, Any], said: str, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, word in enumerate(f"echo {said}".split()):
            if said == "slow" and number == 1 and await self._left(receive, 10.0):
                return
            if said == "cut" and number == 1:
                raise ConnectionAbortedError("the engine is asked to break off")
            choice = {
                "index": 0,
                "delta": {"content": f"{word} "},
                "logprobs": _logprobs(asked, word),
            }
            await _event(send, {"id": "chatcmpl-1", "model": self.model, "choices": [choice]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 7, "completion_tokens": 2}
            await _event(send, {"id": "chatcmpl-1", "choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
        await send({"type": "http.response.body"})

    async def _left(self, receive: Receive, timeout_s: float) -> bool:
        """Whether the caller goes away within the time."""
        try:
            async with asyncio.timeout(timeout_s):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        self.hung_up += 1
        return True


def _logprobs(asked: dict[str, Any], text: str) -> dict[str, Any] | None:
    if not asked.get("logprobs"):
        return None
    return {"content": [{"token": word, "logprob": -0.25} for word in text.split()]}


async def _event(send: Send, data: dict[str, Any]) -> None:
    body = b"data: " + json.dumps(data).encode() + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _whole(send: Send, status: int, data: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(data).encode()})
