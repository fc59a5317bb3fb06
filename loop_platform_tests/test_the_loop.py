"""The loop closes, on real parts: PostgreSQL, vLLM, a LoRA training, Dagster, all under `loop up`.

The gates are set so wide that a few training steps pass them: what is tested here is that every
station hands over to the next by itself, and that faults on the way lose nothing. Whether the loop
makes a model better is what `make demo` measures.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from loop_platform.stack.sockets import supervisor_socket
from loop_platform.stack.supervision import Supervisor

# The first test waits for an engine, a training and three trials on two cores.
pytestmark = pytest.mark.timeout(1800)

ROOT = Path(__file__).parents[1]
LOOP = Path(sys.executable).with_name("loop")
ROOMS = ["kitchen", "garage", "attic", "cellar", "hall", "office", "porch", "bedroom"]
THINGS = ["lamp", "heater", "fan", "radio"]

SETTINGS = """
suites = "{suites}"

[gateway]
port = {gateway}
segment_max_age_s = 1.0

[console]
port = {console}

[dagster]
port = {dagster}
sensor_interval_s = 3

[engine]
ports = [{engine_a}, {engine_b}]
python = "{engine_python}"

[curation]
min_corrections = 16
max_contributor_share = 1.0

[training.recipe]
max_steps = 3
replay_rows = 8

[gates]
min_gain = -1.0
max_task_loss = 1.0
max_safety_loss = 1.0
shadow_pairs = 10
canary_share = 0.5
canary_calls = 4
max_cost_ratio = 1000.0
latency_budget_ms = 60000
promotion = "automatic"

[gates.fronts]
focus = {{ aim = "watch", margin = 1.0 }}

[gates.fronts.everywhere]
completion = {{ aim = "watch", margin = 1.0 }}
reliability = {{ aim = "watch", margin = 1.0 }}
cost = {{ aim = "watch", margin = 1.0 }}
satisfaction = {{ aim = "watch", margin = 1.0 }}
safety = {{ aim = "watch", margin = 1.0 }}
latency = {{ aim = "watch", margin = 1.0 }}
"""


@dataclass(frozen=True)
class Stack:
    """A running `loop up` and the ways in."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    environment: dict[str, str]
    gateway: httpx.Client
    console: httpx.Client

    def champion(self) -> str:
        return self.console.get("/api/status").json()["routes"]["champion"]

    def loop(self, *arguments: str) -> str:
        return subprocess.run(
            [LOOP, *arguments], env=self.environment, check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("loop")
    names = ("gateway", "console", "dagster", "engine_a", "engine_b")
    ports: dict[str, object] = dict(zip(names, _free_ports(5), strict=True))
    ports["suites"] = _short_suites(folder / "suites")
    file = folder / "loop.toml"
    file.write_text(SETTINGS.format(engine_python=ROOT / ".venv-engine/bin/python", **ports))
    environment = os.environ | {
        "LOOP_SETTINGS": str(file),
        "LOOP_DATA_DIR": str(folder / "data"),
    }
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [LOOP, "up"],
            env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        key = _admin_key(process, folder)
        headers = {"Authorization": f"Bearer {key}"}
        gateway, console = (
            httpx.Client(base_url=f"http://127.0.0.1:{ports[name]}", timeout=60, headers=headers)
            for name in ("gateway", "console")
        )
        running = Stack(process, folder / "data", environment, gateway, console)
        _wait("the champion's first answer", 400, lambda: _answers(running, folder))
        _wait("the console", 60, lambda: _up(console))
        yield running
    finally:
        _end(process)


@pytest.fixture(scope="module")
def corrected(stack: Stack) -> list[str]:
    """Twenty-four commands that the model got wrong, each with a correction; chat beside them."""
    for number in range(12):
        _ask(stack, f"Tell me a fact about the number {number}.", "general_chat")
    ids = []
    for room in ROOMS[:6]:
        for thing in THINGS:
            call_id = _ask(stack, f"please switch the {room} {thing} on", "commands")
            answer = json.dumps({"turn_on": f"{room} {thing}"})
            ids.append(_feedback(stack, call_id, kind="correction", correction=answer))
    return ids


def test_the_loop_closes_though_parts_of_it_die(stack: Stack, corrected: list[str]) -> None:
    """The engine is killed while the candidate trains, the daemon stopped while the canary runs."""
    before = stack.champion()
    accepted = _review_until_cycle(stack)
    assert accepted >= 16
    _wait("training to begin", 120, lambda: bool(_processes(stack, "loop_platform.engine.train")))
    answered = _kill_the_engine_and_watch(stack, before)
    assert answered == {before}, "never the bare model, never anything but the champion"
    _wait("the canary", 900, lambda: _traffic(stack) and _state_of_cycle(stack) == "canary")
    with _stopped(stack, "dagster-daemon"):
        for _ in range(5):
            _traffic(stack)
        assert stack.champion() == before, "nobody promotes while nobody looks"
    _wait("promotion", 300, lambda: _traffic(stack) and stack.champion() != before)


def test_every_move_is_on_record_with_its_evidence(stack: Stack) -> None:
    moves = stack.console.get(f"/api/releases/{stack.champion()}").json()["moves"]
    assert [move["to_state"] for move in moves] == [
        "registered", "evaluated", "shadow", "canary", "champion",
    ]  # fmt: skip
    assert all(move["evidence"] for move in moves[1:] if move["to_state"] != "shadow")


def test_everyone_is_on_the_new_champion(stack: Stack) -> None:
    _wait("the gateway to follow", 5, lambda: _served_by(stack) == stack.champion(), pause=0.1)


def test_a_developer_learns_what_their_correction_changed(
    stack: Stack, corrected: list[str]
) -> None:
    journeys = [stack.gateway.get(f"/v1/feedback/{feedback}").json() for feedback in corrected]
    shipped = [journey for journey in journeys if stack.champion() in json.dumps(journey)]
    assert len(shipped) >= 10


def test_every_answer_is_in_the_telemetry_once(stack: Stack) -> None:
    call_id = _ask(stack, "please switch the kitchen lamp on", "commands")
    _wait("the call in the telemetry", 120, lambda: len(_found(stack, call_id)) == 1)


def test_a_rollback_is_one_flip(stack: Stack) -> None:
    before = stack.champion()
    stack.loop("release", "rollback", "--reason", "a test")
    assert stack.champion() != before
    releases = stack.console.get("/api/releases").json()["releases"]
    assert {r["release"]: r["state"] for r in releases}[before] == "rolled_back"
    # The gateway reads the routes once a second; more is allowed for here, the cores are shared.
    _wait("the gateway to follow", 5, lambda: _served_by(stack) == stack.champion(), pause=0.1)


def _served_by(stack: Stack) -> str:
    return _chat(stack, "please switch the porch radio on", "commands").headers["x-loop-release"]


def _kill_the_engine_and_watch(stack: Stack, champion: str) -> set[str]:
    """Kill -9 of the champion's engine; who answered until it was back."""
    for engine in _processes(stack, "loop_platform.engine.serve"):
        engine.kill()
    _wait("the engine's absence to show", 20, lambda: _probe(stack).status_code == 503, pause=0.1)
    assert _probe(stack).headers["retry-after"]
    answered: set[str] = set()

    def back() -> bool:
        answer = _probe(stack)
        if answer.status_code == 200:
            answered.add(answer.headers["x-loop-release"])
        return answer.status_code == 200

    _wait(f"{champion} to be back on its engine", 300, back)
    return answered


def _probe(stack: Stack) -> httpx.Response:
    return _chat(stack, "please switch the attic fan on", "commands")


@contextmanager
def _stopped(stack: Stack, program: str) -> Iterator[None]:
    supervisor = Supervisor(supervisor_socket(stack.data_dir))
    supervisor.stop(program)
    yield
    supervisor.start(program)


def _state_of_cycle(stack: Stack) -> str | None:
    turn = stack.console.get("/api/cycles").json()["cycles"][-1]
    assert turn["release_state"] not in ("rejected", "rolled_back"), turn
    return turn["release_state"]


def _processes(stack: Stack, module: str) -> list[psutil.Process]:
    """Those of the stack that run this module."""
    family = psutil.Process(stack.process.pid).children(recursive=True)
    return [each for each in family if module in _command(each)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # it ended meanwhile
        return []


def _short_suites(folder: Path) -> Path:
    """The first prompts of the packaged suites: enough to see that they are asked."""
    folder.mkdir()
    packaged = ROOT / "loop_platform" / "defs" / "evaluation" / "suites"
    for name in ("retention.jsonl", "safety.jsonl"):
        lines = (packaged / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:10]))
    return folder


def _end(process: subprocess.Popen[bytes]) -> None:
    """One Ctrl-C ends all of it and leaves no orphan."""
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive, f"orphans: {alive}"


def _review_until_cycle(stack: Stack) -> int:
    """Accept every proposed correction until a cycle opens; how many were accepted."""
    accepted = 0
    deadline = time.monotonic() + 300
    while not stack.console.get("/api/cycles").json()["cycles"]:
        assert time.monotonic() < deadline, f"no cycle opened after {accepted} decisions"
        answer = stack.console.get("/api/review/next")
        if answer.status_code == 204:
            time.sleep(1)
            continue
        item = answer.json()
        verdict = "accept" if item["proposed"] else "skip"
        decided = stack.console.post(
            f"/api/review/{item['item_id']}/decision", json={"verdict": verdict}
        )
        assert decided.status_code == 200, decided.text
        accepted += verdict == "accept"
    return accepted


def _traffic(stack: Stack) -> bool:
    """A little of the traffic that shadow and canary live on."""
    for number, room in enumerate(ROOMS):
        _chat(stack, f"please switch the {room} lamp on", "commands", user=f"user-{number}")
    return True


def _chat(stack: Stack, prompt: str, task: str, user: str = "user") -> httpx.Response:
    return stack.gateway.post(
        "/v1/chat/completions",
        json={
            "model": "loop", "user": user, "max_tokens": 16, "temperature": 0,
            "messages": [{"role": "user", "content": prompt}],
        },
        headers={"x-loop-task": task},
    )  # fmt: skip


def _ask(stack: Stack, prompt: str, task: str) -> str:
    answer = _chat(stack, prompt, task)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-loop-call-id"]


def _feedback(stack: Stack, call_id: str, **said: object) -> str:
    answer = stack.gateway.post("/v1/feedback", json={"call_id": call_id, **said})
    assert answer.status_code == 202, answer.text
    return answer.json()["feedback_id"]


def _found(stack: Stack, call_id: str) -> list[object]:
    return stack.console.get("/api/calls", params={"id": call_id}).json()["calls"]


def _admin_key(process: subprocess.Popen[bytes], folder: Path) -> str:
    file = folder / "data" / "admin.key"
    _wait("the admin's key", 400, lambda: _alive(process, folder) and file.exists())
    return file.read_text().strip()


def _answers(stack: Stack, folder: Path) -> bool:
    assert _alive(stack.process, folder)
    try:
        return _chat(stack, "Hello!", "general_chat").status_code == 200
    except httpx.TransportError:
        return False


def _up(console: httpx.Client) -> bool:
    try:
        return console.get("/api/status").status_code == 200
    except httpx.TransportError:
        return False


def _alive(process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "up.log").read_text()[-3000:]
    return True


def _wait(what: str, seconds: float, happened: Callable[[], bool], pause: float = 1.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(pause)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
