"""The client that evaluations ask engines with, on a real (tiny) engine."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from loop_platform.chat import Chat, Reply
from loop_platform.engine.assignment import Assignment, write
from loop_platform_tests.release.stage import free_ports, weights


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    folder = weights(tmp_path / "w", {"*": "you said {prompt}"})
    [port] = free_ports(1)
    assignment = Assignment(release="r-1", weights_path=str(folder), port=port)
    write(assignment, tmp_path / "a.json")
    command = [sys.executable, "-m", "loop_platform_tests.release.tiny_engine"]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([*command, "--assignment", str(tmp_path / "a.json")]) as process:
        deadline = time.monotonic() + 20
        while not _answers(url):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url
        process.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/models").is_success
    except httpx.ConnectError:
        return False


def ask(chat: Chat, prompts: list[str]) -> list[Reply]:
    bodies = [{"messages": [{"role": "user", "content": prompt}]} for prompt in prompts]
    return asyncio.run(chat.ask(bodies, concurrency=4))


def test_replies_come_in_the_order_of_the_questions(engine: str):
    replies = ask(Chat(engine, "r-1"), [str(number) for number in range(50)])

    assert [reply.text for reply in replies] == [f"you said {number}" for number in range(50)]
    assert all(reply.seconds > 0 and reply.completion_tokens == 3 for reply in replies)


def test_an_unknown_model_is_an_error_in_place_of_an_answer(engine: str):
    [reply] = ask(Chat(engine, "r-2"), ["hello"])

    assert reply.error is not None
    assert reply.error.startswith("HTTP 404")


def test_an_engine_that_is_away_is_asked_again_and_then_given_up():
    [port] = free_ports(1)
    started = time.monotonic()

    [reply] = ask(Chat(f"http://127.0.0.1:{port}", "r-1", pauses_s=(0.2, 0.2)), ["hello"])

    assert time.monotonic() - started > 0.4

    assert reply.error is not None
    assert "ClientConnectorError" in reply.error
