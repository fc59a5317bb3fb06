"""A peer that speaks what Kubernetes' API has for pods, and runs their commands as processes."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class Cluster:
    """Its pods, by their names."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def create(self, pod: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(pod)
        container = pod["spec"]["containers"][0]
        variables = {each["name"]: each["value"] for each in container["env"]}
        self._running[pod["metadata"]["name"]] = subprocess.Popen(
            container["command"], env={**os.environ, **variables}, cwd=container["workingDir"]
        )
        return pod

    def listed(self, name: str) -> dict[str, Any]:
        if name not in self._running:
            return {"kind": "PodList", "items": []}
        code = self._running[name].poll()
        state: dict[str, Any] = {"running": {}} if code is None else {}
        if code is not None:
            state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        status = {
            "name": "training",
            "image": "i",
            "imageID": "i",
            "ready": code is None,
            "restartCount": 0,
            "state": state,
        }
        pod = {"metadata": {"name": name}, "status": {"containerStatuses": [status]}}
        return {"kind": "PodList", "items": [pod]}

    def delete(self, name: str) -> dict[str, Any]:
        self.deleted.append(name)
        self._running[name].terminate()
        self._running[name].wait()
        return {"metadata": {"name": name}}


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """The address of its API."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(cluster.create(json.loads(self._body())))

        def do_GET(self) -> None:
            path = unquote(self.path)
            if "metadata.name=" in path:
                self._answer(cluster.listed(path.split("metadata.name=")[1].split("&")[0]))
            elif path.partition("?")[0].endswith("/log"):
                self._answer("there is no such base model")
            else:
                self._answer(cluster.listed(path.rsplit("/", 1)[1])["items"][0])

        def do_DELETE(self) -> None:
            self._body()
            self._answer(cluster.delete(self.path.rsplit("/", 1)[1]))

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def _answer(self, body: object) -> None:
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
