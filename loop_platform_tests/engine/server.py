"""A real vLLM on a folder of weights, for as long as a block lasts."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from loop_platform.engine.assignment import Assignment, write
from loop_platform_tests.engine.programs import PYTHON, ROOT

_PATIENCE_S = 540.0


@contextlib.contextmanager
def vllm(weights: Path, release: str, folder: Path) -> Iterator[str]:
    """The engine's URL; it serves the weights under the release's name."""
    assignment = Assignment(
        release=release,
        weights_path=str(weights),
        port=_free_port(),
        max_model_len=256,
        threads=1,
        dtype="float32",
        tool_parser="hermes",
    )
    write(assignment, folder / "a.json")
    command = [str(PYTHON), "-m", "loop_platform.engine.serve"]
    with (folder / "log").open("wb") as log:
        program = subprocess.Popen(
            [*command, "--assignment", str(folder / "a.json")],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{assignment.port}"
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _ready(url):
            assert program.poll() is None, (folder / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
            time.sleep(0.5)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/models").is_success
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
