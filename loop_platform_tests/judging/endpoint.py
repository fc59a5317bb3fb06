"""A small server that speaks OpenAI's chat API and judges: a rule of the test instead of a model.

It reads a request as a judge should: what stands between the marks is data, whatever is said there;
what stands outside is the instructions.
"""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CODE = re.compile(r"carry the code (\w+)")


@dataclass(frozen=True)
class Shown:
    """What the judge was shown, taken apart."""

    request: str
    first: str
    second: str
    outside: str
    """All of the user's message that stands between no marks."""
    guided: bool
    key: str | None


Said = tuple[int, str] | str
"""The text of an answer, or a status and a body."""
Rule = Callable[[Shown], Said]


@dataclass
class Endpoint:
    """Where it listens, and what it was shown."""

    url: str
    rule: Rule
    shown: list[Shown] = field(default_factory=list)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Of a judge that asks here."""
        return {"kind": "model", "url": self.url, "model": "m", "pauses_s": [0.01], **more}


def verdict(word: str) -> str:
    return json.dumps({"reason": "so it is", "verdict": word})


def better(good: Callable[[str], float]) -> Rule:
    """A judge that goes by a number of the answer."""

    def rule(shown: Shown) -> str:
        first, second = good(shown.first), good(shown.second)
        return verdict("tie" if first == second else "first" if first > second else "second")

    return rule


@contextlib.contextmanager
def listening(rule: Rule) -> Iterator[Endpoint]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", rule)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    endpoint: Endpoint

    def handle_error(self, *_: object) -> None:
        """A judge that waits no longer for an answer has gone away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        assert self.path == "/v1/chat/completions"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        shown = _shown(body, self.headers.get("Authorization"))
        self.server.endpoint.shown.append(shown)
        said = self.server.endpoint.rule(shown)
        status, text = (200, said) if isinstance(said, str) else said
        reply = {"choices": [{"message": {"role": "assistant", "content": text}}]}
        content = json.dumps(reply if status == 200 else {"error": {"message": text}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


def _shown(body: dict[str, Any], key: str | None) -> Shown:
    system, user = (message["content"] for message in body["messages"])
    found = _CODE.search(system)
    assert found is not None, "the instructions name the code of the marks"
    parts = {}
    outside = user
    for name in ("request", "first answer", "second answer"):
        begin, end = f"--- {name}, {found[1]} ---\n", f"\n--- end of {name}, {found[1]} ---"
        assert user.count(begin) == user.count(end) == 1
        parts[name] = user.partition(begin)[2].partition(end)[0]
        outside = outside.replace(begin + parts[name] + end, "")
    return Shown(*parts.values(), outside.strip(), "response_format" in body, key)
