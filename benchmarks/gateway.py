"""What the gateway costs, beside a bare pass-through on the same stack in the same run.

Three ways to one engine that answers at once: directly, through a proxy that does nothing but pass
bytes on (Starlette, aiohttp), and through the gateway, which authenticates, routes, asks for
log-probabilities, takes them out again, journals and counts. Rounds take turns, so that what else
the machine does falls on all three alike; reported are medians and ratios.

    python benchmarks/gateway.py --seconds 3 --rounds 3 --out gateway.json
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import sqlalchemy as sa
import uvicorn
from starlette.types import Receive, Scope, Send

from loop_platform import migrations
from loop_platform.database import database_url, releases, routes
from loop_platform.keys import create_key
from loop_platform.settings import Settings
from loop_platform.stack import postgres

PATH = "/v1/chat/completions"
WORDS = 24
CONNECTIONS = 32

Result = dict[str, float]


def choice(field: str, text: str, words: int) -> dict[str, object]:
    logprobs = {"content": [{"token": "word", "logprob": -0.1, "top_logprobs": []}] * words}
    return {"index": 0, field: {"content": text}, "logprobs": logprobs, "finish_reason": None}


USAGE = {"prompt_tokens": 40, "completion_tokens": WORDS}
WHOLE = json.dumps(
    {"choices": [choice("message", "word " * WORDS, WORDS)], "usage": USAGE}
).encode()
EVENT = b"data: " + json.dumps({"choices": [choice("delta", "word ", 1)]}).encode() + b"\n\n"
END = b"data: [DONE]\n\n"


async def body_of(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def engine(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, with as many words whatever was asked."""
    if scope["type"] != "http":
        return
    streamed = b'"stream":true' in (await body_of(receive)).replace(b" ", b"")
    kind = b"text/event-stream" if streamed else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if streamed:
        for _ in range(WORDS):
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
            await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": END if streamed else WHOLE})


class PassThrough:
    """A proxy that looks at nothing."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self.session is None:
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        body = await body_of(receive)
        async with self.session.post(self.upstream + PATH, data=body) as reply:
            headers = [(b"content-type", reply.headers["content-type"].encode())]
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            async for data in reply.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body"})


def serve(role: str, port: int, upstream: str) -> None:
    app = engine if role == "engine" else PassThrough(upstream)
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", lifespan="off", log_level="error")


async def load(url: str, key: str, stream: bool, connections: int, seconds: float) -> list[float]:
    """Seconds of each call, from as many callers as there are connections."""
    asked = {"model": "loop", "messages": [{"role": "user", "content": "word " * 40}]}
    body = json.dumps(asked | {"stream": stream}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def caller(session: aiohttp.ClientSession) -> None:
        while (start := time.perf_counter()) < end:
            async with session.post(url + PATH, data=body, headers=headers) as reply:
                text = await reply.read()
                if reply.status != 200 or (stream and END.strip() not in text):
                    raise SystemExit(f"{url} answered {reply.status}: {text[:200]!r}")
            taken.append(time.perf_counter() - start)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(caller(session) for _ in range(connections)))
    return taken


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@contextlib.contextmanager
def process(arguments: list[str], port: int, **environment: str) -> Iterator[str]:
    """The URL of a server in a process of its own, as soon as it listens."""
    child = subprocess.Popen([sys.executable, *arguments], env=os.environ | environment)
    try:
        while child.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(30)


def prepared(folder: Path, upstream: str) -> str:
    """Routes all traffic to the engine and returns a caller's key."""
    database = sa.create_engine(database_url(Settings(data_dir=folder)))
    migrations.upgrade(database)
    release = {"release": "r-1", "weights_path": "/none", "state": "champion", "record": {}}
    with database.begin() as connection:
        connection.execute(releases.insert().values(release))
        connection.execute(
            routes.insert().values(only=True, version=1, champion="r-1", champion_url=upstream)
        )
        key = create_key(connection, "caller", "bench", "bench")
    database.dispose()
    return key


def measured(
    ways: dict[str, str], key: str, stream: bool, rounds: int, seconds: float
) -> dict[str, Result]:
    rates: dict[str, list[float]] = {way: [] for way in ways}
    alone: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, url in ways.items():
            rates[way].append(
                len(asyncio.run(load(url, key, stream, CONNECTIONS, seconds))) / seconds
            )
            alone[way] += asyncio.run(load(url, key, stream, 1, seconds / 3))
    return {
        way: {
            "calls_per_second": round(statistics.median(rates[way]), 1),
            "calls_per_second_low": round(min(rates[way]), 1),
            "calls_per_second_high": round(max(rates[way]), 1),
            "one_caller_p50_ms": round(statistics.median(alone[way]) * 1000, 3),
            "one_caller_n": len(alone[way]),
        }
        for way in ways
    }


def report(results: dict[str, Result]) -> dict[str, object]:
    bare, gateway = results["pass_through"], results["gateway"]
    return {
        **results,
        "gateway_to_pass_through_rate": round(
            gateway["calls_per_second"] / bare["calls_per_second"], 3
        ),
        "gateway_added_p50_ms": round(gateway["one_caller_p50_ms"] - bare["one_caller_p50_ms"], 3),
    }


@contextlib.contextmanager
def three_ways() -> Iterator[tuple[dict[str, str], str]]:
    """URLs of the engine, of a pass-through and of a gateway in front of it; and a key."""
    ports = [free_port() for _ in range(3)]
    own = [__file__, "--port"]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loop-bench-")))
        stack.enter_context(postgres.running(folder))
        direct = stack.enter_context(process([*own, str(ports[0]), "--role", "engine"], ports[0]))
        bare = [*own, str(ports[1]), "--role", "pass_through", "--upstream", direct]
        environment = {"LOOP_DATA_DIR": str(folder), "LOOP_GATEWAY__PORT": str(ports[2])}
        key = prepared(folder, direct)
        gateway = process(["-m", "loop_platform.gateway"], ports[2], **environment)
        yield (
            {
                "direct": direct,
                "pass_through": stack.enter_context(process(bare, ports[1])),
                "gateway": stack.enter_context(gateway),
            },
            key,
        )


def compared(rounds: int, seconds: float) -> dict[str, object]:
    with three_ways() as (ways, key):
        return {
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
            "load_average": round(os.getloadavg()[0], 2),
            "connections": CONNECTIONS,
            "whole": report(measured(ways, key, False, rounds, seconds)),
            "streamed": report(measured(ways, key, True, rounds, seconds)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--role", choices=["engine", "pass_through"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--upstream", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        serve(given.role, given.port, given.upstream)
        return
    text = json.dumps(compared(given.rounds, given.seconds), indent=2)
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
