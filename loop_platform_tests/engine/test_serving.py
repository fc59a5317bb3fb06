"""A real vLLM on a tiny model: what answers, under which name, and that nothing outlives it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from loop_platform.engine.assignment import Assignment, write
from loop_platform.engine.serve import arguments, environment
from loop_platform_tests.engine.programs import PYTHON, ROOT


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def served(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The engine's URL, and the process that started it."""
    folder = tmp_path_factory.mktemp("served")
    assignment = Assignment(
        release="r-1", weights_path=str(tiny), port=free_port(), max_model_len=256, threads=1
    )
    write(assignment, folder / "a.json")
    command = [str(PYTHON), "-m", "loop_platform.engine.serve"]
    # A shell in between, as a supervisor would be: killing it must end the engine.
    starter = (
        f"import subprocess; subprocess.run({[*command, '--assignment', str(folder / 'a.json')]!r})"
    )
    with (folder / "log").open("wb") as log:
        program = subprocess.Popen(
            [sys.executable, "-c", starter], cwd=ROOT, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{assignment.port}"
    deadline = time.monotonic() + 240
    while not _ready(url):
        assert program.poll() is None, (folder / "log").read_text()[-3000:]
        assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        time.sleep(0.5)
    yield url, program.pid
    if program.poll() is None:
        program.kill()
    program.wait()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/models").is_success
    except httpx.TransportError:
        return False


def ask(url: str, **more: Any) -> httpx.Response:
    body = {
        "model": "r-1",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0,
        "max_tokens": 6,
    }
    return httpx.post(f"{url}/v1/chat/completions", json=body | more, timeout=60)


def test_the_weights_answer_under_the_releases_name_alone(served: tuple[str, int]):
    url, _ = served

    assert [model["id"] for model in httpx.get(f"{url}/v1/models").json()["data"]] == ["r-1"]
    assert ask(url).json()["usage"]["completion_tokens"] > 0
    assert ask(url, model="base").status_code == 404


def test_log_probabilities_come_when_asked_for(served: tuple[str, int]):
    content = ask(served[0], logprobs=True).json()["choices"][0]["logprobs"]["content"]

    assert content
    assert all(token["logprob"] <= 0 for token in content)


def test_an_answer_keeps_to_a_json_schema(served: tuple[str, int]):
    schema = {"name": "room", "schema": {"enum": ["hall", "attic"]}}
    shape = {"type": "json_schema", "json_schema": schema}

    answer = ask(served[0], response_format=shape, max_tokens=16).json()

    assert json.loads(answer["choices"][0]["message"]["content"]) in ("hall", "attic")


def test_nothing_outlives_the_program_that_started_the_engine(served: tuple[str, int]):
    _, pid = served
    family = psutil.Process(pid).children(recursive=True)
    assert len(family) >= 2

    os.kill(pid, signal.SIGKILL)

    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


def test_an_assignment_that_cannot_be_read_is_one_sentence(tmp_path: Path):
    file = tmp_path / "a.json"
    file.write_text('{"release": "r-1"}')

    done = subprocess.run(
        [str(PYTHON), "-m", "loop_platform.engine.serve", "--assignment", str(file)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 1
    assert "weights_path" in done.stderr
    assert "Traceback" not in done.stderr


def test_adapters_are_named_on_the_command_line_and_loadable_later():
    assignment = Assignment(
        release="base",
        weights_path="meta/model",
        port=1,
        serving="adapter",
        adapters={"r-1": "/adapters/1"},
        gpu_share=0.3,
    )
    line = arguments(assignment, gpu=True, bfloat16=True)

    assert line[line.index("--lora-modules") + 1] == "r-1=/adapters/1"
    assert "--enforce-eager" not in line
    assert line[line.index("--gpu-memory-utilization") + 1] == "0.3"
    assert "--gpu-memory-utilization" not in arguments(assignment, gpu=False, bfloat16=True)
    assert "--enable-sleep-mode" not in line
    assert "VLLM_SERVER_DEV_MODE" not in environment(assignment, gpu=True)
    sleeps = msgspec.structs.replace(assignment, sleeps=True)
    assert "--enable-sleep-mode" in arguments(sleeps, gpu=True, bfloat16=True)
    assert environment(sleeps, gpu=True)["VLLM_SERVER_DEV_MODE"] == "1"
    assert "--tool-call-parser" not in line
    hermes = msgspec.structs.replace(assignment, tool_parser="hermes")
    reading = arguments(hermes, gpu=True, bfloat16=True)
    assert reading[reading.index("--tool-call-parser") + 1] == "hermes"
    assert environment(assignment, gpu=True)["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"


@pytest.mark.parametrize(
    ("asked", "bfloat16", "expected"),
    [
        ("auto", True, "bfloat16"),
        ("auto", False, "float32"),
        ("bfloat16", False, "bfloat16"),
        ("float32", True, "float32"),
    ],
)
def test_an_engine_computes_in_what_the_machine_is_quick_in(asked, bfloat16, expected):
    assignment = Assignment(release="base", weights_path="meta/model", port=1, dtype=asked)
    line = arguments(assignment, gpu=False, bfloat16=bfloat16)
    assert line[line.index("--dtype") + 1] == expected
