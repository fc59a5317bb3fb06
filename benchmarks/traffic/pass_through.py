"""Proxies that look at nothing: uvicorn in front, bytes in between, and behind either aiohttp, as
one would write it, or the connections that the gateway has itself, to see what else of it costs.
It is started as `python -m traffic.pass_through PORT UPSTREAM [lean]`.
"""

import sys

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send

from loop_platform.gateway.connections import Address, Pool


async def body_of(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


class PassThrough:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"content-type": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        body = await body_of(receive)
        async with self._session.post(self._upstream + scope["path"], data=body) as reply:
            headers = [
                (name.encode(), reply.headers[name].encode())
                for name in ("content-type", "content-length")
                if name in reply.headers
            ]
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            if reply.content_length is not None:
                await send({"type": "http.response.body", "body": await reply.read()})
                return
            while data := await reply.content.readany():
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body"})


class LeanPassThrough:
    def __init__(self, upstream: str) -> None:
        self._address = Address.of(upstream)
        self._pool = Pool(4.0, 5.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await body_of(receive)
        connection = await self._pool.connected(self._address)
        head = (
            f"POST {scope['path']} HTTP/1.1\r\nhost: {self._address.host}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        reply = connection.send(head.encode() + body, 300.0)
        await reply.begun()
        headers = [
            (name, reply.headers[name])
            for name in (b"content-type", b"content-length")
            if name in reply.headers
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        while data := await reply.some():
            more = not reply.at_end
            await send({"type": "http.response.body", "body": data, "more_body": more})
            if not more:
                return
        await send({"type": "http.response.body"})


if __name__ == "__main__":
    proxy = LeanPassThrough if sys.argv[3:] == ["lean"] else PassThrough
    uvicorn.run(
        proxy(sys.argv[2]),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
