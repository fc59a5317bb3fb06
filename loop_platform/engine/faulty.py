"""An engine with a known fault, for drills: it passes calls on to another engine, but a share of
them fails, comes late, or is answered by a script.

A folder of weights that holds a `fault.json` is served so (loop_platform/engine/serve.py): the
fault takes the way of every release, through an engine slot, and the loop knows nothing of it.

Scripts answer what they name, which are the calls of a drill, or prompts of a suite. Everyone
else's calls are answered by the engine behind.
"""

import http.client
import json
import random
import time
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from loop_platform.engine.assignment import Assignment

FILE = "fault.json"

_TIMEOUT_S = 120.0


class Script(msgspec.Struct, kw_only=True, frozen=True):
    """What is answered to the calls whose last message has a text in it."""

    of: str
    says: str
    """Each word of it counts as a token."""
    instead: str = ""
    share: float = 0.0
    """Share of these calls that get `instead`."""
    delay_s: float = 0.0


class Fault(msgspec.Struct, kw_only=True, frozen=True):
    """What is wrong, and who answers otherwise."""

    url: str
    """Of the engine behind."""
    model: str
    """The name that it serves."""
    fails: float = 0.0
    """Share of all calls that end with a 500."""
    scripts: tuple[Script, ...] = ()
    """The first that fits answers."""
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

        def falls(self, share: float) -> bool:
            return lot.random() < share

    _Server((assignment.host, assignment.port), Faulty).serve_forever()


class _Handler(BaseHTTPRequestHandler, ABC):
    protocol_version = "HTTP/1.1"
    release: str
    behind: Fault

    @abstractmethod
    def falls(self, share: float) -> bool:
        """Whether the lot falls on this call."""

    def do_GET(self) -> None:
        self._reply(200, _encoded({"object": "list", "data": [{"id": self.release}]}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.falls(self.behind.fails):
            self._reply(500, _encoded({"error": {"message": "a drill: this call fails"}}))
            return
        script = _script(self.behind, body)
        if script is not None:
            time.sleep(script.delay_s)
            said = script.instead if self.falls(script.share) else script.says
            self._reply(200, _encoded(_completion(self.release, said)))
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


def _script(fault: Fault, body: dict[str, Any]) -> Script | None:
    """The script of a chat; how likely an answer that was given is, only the engine can say."""
    messages = body.get("messages") or [{}]
    if body.get("stream") or "prompt_logprobs" in body:
        return None
    asked = str(messages[-1].get("content"))
    return next((script for script in fault.scripts if script.of in asked), None)


def _completion(release: str, said: str) -> dict[str, object]:
    tokens = len(said.split())
    message = {"role": "assistant", "content": said}
    return {
        "id": "chatcmpl-drill",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": release,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {
            "prompt_tokens": tokens,
            "completion_tokens": tokens,
            "total_tokens": 2 * tokens,
        },
    }


def _encoded(body: object) -> bytes:
    return json.dumps(body).encode()
