"""A peer that speaks Ray's Jobs API and runs what it is given as processes of this machine."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Cluster:
    """Its jobs, by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: dict[str, subprocess.Popen[bytes]] = {}
        self.asked: list[dict[str, Any]] = []
        self.stopped: set[str] = set()

    def submit(self, body: dict[str, Any]) -> dict[str, str]:
        self.asked.append(body)
        name = body["submission_id"]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.jobs[name] = subprocess.Popen(
                ["sh", "-c", f"exec {body['entrypoint']}"],
                env={**os.environ, **body["runtime_env"]["env_vars"]},
                stdout=log,
                stderr=log,
            )
        return {"submission_id": name}

    def status(self, name: str) -> dict[str, str]:
        code = self.jobs[name].poll()
        if code is None:
            return {"status": "RUNNING", "message": "it runs"}
        if name in self.stopped:
            return {"status": "STOPPED", "message": "it was stopped"}
        return {"status": "FAILED" if code else "SUCCEEDED", "message": f"exit code {code}"}

    def stop(self, name: str) -> dict[str, bool]:
        self.stopped.add(name)
        self.jobs[name].terminate()
        return {"stopped": True}

    def logs(self, name: str) -> dict[str, str]:
        return {"logs": (self.folder / f"{name}.log").read_text()}


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """The address of its dashboard."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length) or b"{}")
            *_, name, what = self.path.rsplit("/", 2)
            self._answer(cluster.stop(name) if what == "stop" else cluster.submit(body))

        def do_GET(self) -> None:
            parts = self.path.removeprefix("/api/jobs/").split("/")
            self._answer(cluster.logs(parts[0]) if parts[1:] else cluster.status(parts[0]))

        def _answer(self, body: object) -> None:
            text = json.dumps(body).encode()
            self.send_response(200)
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
        for job in cluster.jobs.values():
            job.kill()
            job.wait()
