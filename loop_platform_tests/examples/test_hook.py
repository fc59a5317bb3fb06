"""The product's parser as the platform's validator, over HTTP."""

import socket
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from loop_platform.validators import Validator, validators
from loop_platform_tests.examples.conftest import ENVIRONMENT, PYTHON, ROOT


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(PYTHON), "-m", "home_assistant.hook", "--port", str(port)]
    with subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT / "examples") as process:
        url = f"http://127.0.0.1:{port}"
        while process.poll() is None:
            try:
                httpx.get(url)
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        yield url
        process.terminate()


@pytest.fixture
def validator(url: str) -> Validator:
    return validators({"home_assistant": f"{url}/score"})["home_assistant"]


def _request(text: str) -> dict[str, object]:
    return {"messages": [{"role": "system", "content": "…"}, {"role": "user", "content": text}]}


def test_the_right_intent_and_slots_score_one_in_any_spelling(validator: Validator) -> None:
    answer = '{"slots": {"name": "tv"},\n "intent": "HassMediaPause"}'
    assert validator(_request("pause the tv"), answer) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "Sure, I paused it.",
        '{"intent": "HassMediaPause"',
        '{"intent": "HassMediaPause", "slots": {}}',
        '{"intent": "HassMediaPause", "slots": {"name": "radio"}}',
        '{"intent": "HassMediaPause", "slots": {"name": "tv"}} Anything else?',
        "[]",
        "",
    ],
)
def test_anything_else_scores_zero(validator: Validator, answer: str) -> None:
    assert validator(_request("pause the tv"), answer) == 0


def test_it_cannot_tell_about_what_is_no_command(validator: Validator) -> None:
    assert validator(_request("who wrote Emma?"), "Jane Austen.") is None


def test_a_request_without_messages_is_a_bad_request(url: str) -> None:
    response = httpx.post(f"{url}/score", json={"answer": "{}"})
    assert response.status_code == 400
