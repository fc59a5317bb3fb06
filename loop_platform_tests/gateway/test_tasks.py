"""The task of a call: by header, by the body's metadata, or by a rule on the model's name."""

from typing import Any

import pytest
import sqlalchemy as sa

from loop_platform.gateway.tasks import listed, task_of
from loop_platform.settings import GatewaySettings, Settings
from loop_platform_tests.gateway.loop import Loop
from loop_platform_tests.gateway.scripted_peer import ScriptedPeer

RULES = {"home": "commands", "gpt-4*": "large", "gpt-4o-mini": "small", "*-turbo": "fast"}

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hello"}]},
    "/v1/completions": {"prompt": "hello"},
    "/v1/responses": {"input": "hello"},
    "/v1/embeddings": {"input": "hello"},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    gateway = GatewaySettings(tasks_by_model=RULES, default_task="other")
    return settings.model_copy(update={"gateway": gateway})


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("home", "commands"),
        ("gpt-4o", "large"),
        ("gpt-4o-mini", "small"),
        ("gpt-4-turbo", "large"),
        ("gpt-3.5-turbo", "fast"),
        ("GPT-4o", None),
        ("loop", None),
    ],
)
def test_the_exact_name_wins_then_the_first_pattern(model: str, task: str | None):
    assert task_of(model, RULES) == task


def test_only_names_are_listed():
    assert listed(RULES) == ("home", "gpt-4o-mini")


@pytest.mark.parametrize("path", BODIES)
def test_a_header_goes_before_metadata_and_that_before_the_rule(scripted: Loop, path: str):
    def task(model: str, metadata: dict[str, str] | None, **headers: str) -> str:
        body = BODIES[path] | {"model": model} | ({"metadata": metadata} if metadata else {})
        response = scripted.client.post(path, json=body, headers=headers)
        assert response.status_code == 200, response.text
        return scripted.call(response).task

    named = {"task": "from-metadata", "other": "passes"}
    assert task("gpt-4o", named, **{"x-loop-task": "from-header"}) == "from-header"
    assert task("gpt-4o", named) == "from-metadata"
    assert task("gpt-4o", {"other": "passes"}) == "large"
    assert task("loop", None) == "other"


def test_what_a_rule_knows_the_champion_answers(
    scripted: Loop, peer: ScriptedPeer, database: sa.Engine
):
    assert scripted.chat(model="gpt-4-turbo").status_code == 200
    assert b'"model":"r-1"' in peer.received[0].body
    response = scripted.chat(model="claude")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    names = [model["id"] for model in scripted.client.get("/v1/models").json()["data"]]
    assert names == ["loop", "home", "gpt-4o-mini", "r-1"]
