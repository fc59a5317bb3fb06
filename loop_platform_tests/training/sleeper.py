"""A peer that sleeps and wakes as vLLM does: calls that come while it sleeps wait."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sleeper:
    """What was asked of it, in that order."""

    def __init__(self, refusals: int = 0, *, sleeps: bool = True) -> None:
        """`refusals`: so often it cannot wake, as where there is no memory yet."""
        self.happened: list[str] = []
        self.awake = threading.Event()
        self.awake.set()
        self._refusals = refusals
        self._sleeps = sleeps

    def answer(self, path: str) -> int:
        self.happened.append(path)
        if path.startswith("/v1/"):
            return 200 if self.awake.wait(60) else 503
        if not self._sleeps:
            return 404
        if path == "/wake_up" and self._refusals:
            self._refusals -= 1
            return 500
        (self.awake.set if path == "/wake_up" else self.awake.clear)()
        return 200


@contextmanager
def serving(sleeper: Sleeper) -> Iterator[int]:
    """Its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.dumps({}).encode()
            self.send_response(sleeper.answer(self.path))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
