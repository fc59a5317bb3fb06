"""A proxy that looks at nothing: uvicorn in front, aiohttp behind, bytes in between.

python -m traffic.pass_through PORT UPSTREAM
"""

import sys

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send


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
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
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


if __name__ == "__main__":
    uvicorn.run(
        PassThrough(sys.argv[2]),
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
