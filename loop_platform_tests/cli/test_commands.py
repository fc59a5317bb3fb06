"""The small commands, on a real database."""

import json
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from loop_platform.cli import COMMANDS
from loop_platform.database import move_requests, releases, review_items
from loop_platform.keys import list_keys
from loop_platform.release import registry, requests, trials
from loop_platform.release.states import State
from loop_platform.settings import FrontSettings
from loop_platform_tests.cli.conftest import Loop


@pytest.fixture
def release(database: sa.Engine, tmp_path: Path) -> str:
    """A registered release with an adapter."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    with database.begin() as connection:
        return registry.register(
            connection,
            cycle=None,
            parent=None,
            adapter="ab" * 32,
            adapter_path=adapter,
            weights_path=tmp_path / "weights",
            drill=False,
            record={},
        )


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(loop: Loop, command: str) -> None:
    shown = loop(command, "--help")
    assert shown.exit_code == 0, shown.output
    assert "Usage" in shown.output


def test_an_unknown_command_is_refused(loop: Loop) -> None:
    assert "No such command" in loop("upp").output


def test_a_key_is_shown_once_and_never_again(loop: Loop, database: sa.Engine) -> None:
    text = loop("keys", "create", "--role", "reviewer", "--name", "lena").output.strip()
    listed = loop("keys", "list").output
    assert text.startswith("loop_")
    assert "lena" in listed
    assert text not in listed
    with database.connect() as connection:
        (known,) = list_keys(connection)
    assert known.key.role == "reviewer"


def test_a_key_is_revoked_once(loop: Loop) -> None:
    key_id = loop("keys", "create", "--name", "lena").output.split("_")[1]
    assert loop("keys", "revoke", key_id).exit_code == 0
    again = loop("keys", "revoke", key_id)
    assert again.exit_code == 1
    assert f"no key '{key_id}' is in use" in again.output


def test_a_key_is_rotated_and_limited(loop: Loop) -> None:
    old = loop("keys", "create", "--name", "lena", "--requests-per-minute", 60).output.split("_")[1]
    new = loop("keys", "rotate", old, "--grace-minutes", 5).output.split("_")[1]
    assert loop("keys", "limit", new, "--tokens-per-minute", 9000).exit_code == 0
    lines = loop("keys", "list").output.splitlines()
    assert [line.split()[0] for line in lines] == [old, new]
    assert "in use until" in lines[0]
    assert lines[0].endswith("60 requests/min")
    assert lines[1].endswith("in use  9000 tokens/min")
    assert loop("keys", "revoke", old).exit_code == 0
    for command in ("rotate", "limit"):
        refused = loop("keys", command, old)
        assert refused.exit_code == 1
        assert f"no key '{old}' is in use" in refused.output


def test_a_pause_shows_in_the_status_until_the_resume(loop: Loop) -> None:
    loop("pause")
    assert json.loads(loop("status", "--json").output)["routes"]["paused"] is True
    assert "paused" in loop("status").output
    loop("resume")
    assert json.loads(loop("status", "--json").output)["routes"]["paused"] is False


def test_the_status_counts_what_waits(loop: Loop, database: sa.Engine, release: str) -> None:
    with database.begin() as connection:
        connection.execute(sa.insert(review_items).values(item("a", "open")))
        connection.execute(sa.insert(review_items).values(item("b", "decided")))
    status = json.loads(loop("status", "--json").output)
    assert status["review"] == {"open": 1, "decided": 1}
    assert status["segments_pending"] == 0
    assert status["open_cycle"] is None
    assert [known["release"] for known in status["releases"]] == [release]
    assert set(status["programs"]) >= {"gateway", "controller", "engine-a", "dagster-daemon"}
    assert {program["state"] for program in status["programs"].values()} == {"STOPPED"}


def test_a_release_is_listed_with_its_state(loop: Loop, release: str) -> None:
    assert f"{release}    registered" in loop("release", "list").output


def test_what_waits_for_a_person_is_said(loop: Loop, database: sa.Engine, release: str) -> None:
    _in_canary(database, release)
    with database.begin() as connection:
        fronts = FrontSettings()
        trials.begin(
            connection,
            release,
            State.CANARY,
            champion="base",
            planned=1,
            budget=1,
            fronts=fronts,
        )
        seen = {"reason": "nothing got worse in its canary", "tasks": ["invoices"]}
        trials.conclude(connection, release, State.CANARY, "passed", seen)
    said = "waits for a person: nothing got worse in its canary"
    assert said in loop("release", "list").output
    assert f"{release}    {said}" in loop("status").output
    [wait] = json.loads(loop("status", "--json").output)["waits"]
    assert (wait["release"], wait["stage"]) == (release, "canary")


def test_a_promotion_is_asked_of_the_controller_and_waited_for(
    loop: Loop, database: sa.Engine, release: str
) -> None:
    _in_canary(database, release)
    controller = threading.Thread(target=answer, args=(database, None))
    controller.start()
    promoted = loop("release", "promote", release, "--reason", "looked at by hand")
    controller.join()
    assert promoted.exit_code == 0, promoted.output
    assert f"{release} is champion" in promoted.output
    with database.connect() as connection:
        asked = connection.execute(sa.select(move_requests)).one()
    assert (asked.to_state, asked.reason) == ("champion", "looked at by hand")
    assert asked.actor.startswith("loop:")


def test_a_refusal_of_the_controller_is_the_error(
    loop: Loop, database: sa.Engine, release: str
) -> None:
    _in_canary(database, release)
    controller = threading.Thread(target=answer, args=(database, "a drill serves nobody"))
    controller.start()
    refused = loop("release", "promote", release)
    controller.join()
    assert refused.exit_code == 1
    assert "a drill serves nobody" in refused.output


def test_there_is_nothing_to_roll_back_without_a_champion(loop: Loop) -> None:
    refused = loop("release", "rollback")
    assert refused.exit_code == 1
    assert "no champion" in refused.output


def test_an_unknown_release_is_named(loop: Loop) -> None:
    refused = loop("release", "promote", "r-none")
    assert refused.exit_code == 1
    assert "no release 'r-none'" in refused.output


def test_a_release_on_no_trial_is_not_promoted(loop: Loop, release: str) -> None:
    refused = loop("release", "promote", release)
    assert refused.exit_code == 1
    assert f"release '{release}' is registered" in refused.output


def _in_canary(database: sa.Engine, release: str) -> None:
    with database.begin() as connection:
        connection.execute(
            sa.update(releases).where(releases.c.release == release).values(state="canary")
        )


def answer(database: sa.Engine, refusal: str | None) -> None:
    """Handles the first request, as the controller does."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with database.begin() as connection:
            for request in requests.pending(connection):
                requests.close(connection, request.request_id, refusal)
                return
        time.sleep(0.05)


def item(name: str, state: str) -> dict[str, object]:
    measures = dict.fromkeys(("harm", "impact", "novelty", "uncertainty", "priority"), 1.0)
    return {
        **measures,
        "item_id": name,
        "call_id": name,
        "tenant": "default",
        "task": "home",
        "cluster": "c",
        "messages": [{"role": "user", "content": "lights on"}],
        "answer": "no",
        "flags": [],
        "feedback": [],
        "state": state,
    }
