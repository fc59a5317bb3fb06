"""An engine with a known fault, for drills: it passes calls on to another engine, but a share of
them fails.

A folder of weights that holds a `fault.json` is served so (loop_platform/engine/serve.py): the
fault takes the way of every release, through an engine slot, and the loop knows nothing of it.
"""

import http.client
import json
import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from loop_platform.engine.assignment import Assignment

FILE = "fault.json"

_TIMEOUT_S = 120.0


class Fault(msgspec.Struct, kw_only=True, frozen=True):
    """What is wrong, and who answers otherwise."""

    url: str
    """Of the engine behind."""
    model: str
    """The name that it serves."""
    fails: float
    """Share of calls that end with a 500."""
    seed: int = 17


def planted(assignment: Assignment) -> Fault | None:
    """The fault that the weights of an assignment are, if they are one."""
    file = Path(assignment.weights_path) / FILE
    return msgspec.json.decode(file.read_bytes(), type=Fault) if file.is_file() else None


def plant(fault: Fault, folder: Path) -> Path:
    """Make a folder of weights that is the fault."""
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(msgspec.json.encode(fault))
    return folder


def serve(assignment: Assignment, fault: Fault) -> None:
    """Serve the fault at the assignment's address, for ever."""
    lot = random.Random(fault.seed)

    class Faulty(_Handler):
        release = assignment.release
        behind = fault

        def fails(self) -> bool:
            return lot.random() < fault.fails

    _Server((assignment.host, assignment.port), Faulty).serve_forever()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    release: str
    behind: Fault

    def fails(self) -> bool:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._reply(200, _encoded({"object": "list", "data": [{"id": self.release}]}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.fails():
            self._reply(500, _encoded({"error": {"message": "a drill: this call fails"}}))
            return
        status, kind, answer = self._ask({**body, "model": self.behind.model})
        self._reply(status, answer, kind)

    def _ask(self, body: dict[str, object]) -> tuple[int, str, bytes]:
        address = urlsplit(self.behind.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=_TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", self.path, _encoded(body), headers)
            reply = connection.getresponse()
            return reply.status, reply.headers.get("Content-Type", ""), reply.read()
        except (OSError, http.client.HTTPException) as error:
            said = {"error": {"message": f"the engine behind does not answer: {error}"}}
            return 502, "application/json", _encoded(said)
        finally:
            connection.close()

    def _reply(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def _encoded(body: object) -> bytes:
    return json.dumps(body).encode()
