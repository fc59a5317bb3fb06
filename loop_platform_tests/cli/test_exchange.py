"""What goes out of the loop, and what comes in."""

import json
import time
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from loop_platform.database import decisions, review_items, segment_hours, segments
from loop_platform.identity import CallIdentity, hour_of, identity_secret
from loop_platform.records import Call
from loop_platform.release import registry
from loop_platform_tests.cli.conftest import Loop
from loop_platform_tests.cli.test_commands import item

YESTERDAY = time.time() - 86_400


def recorded(content: str = "lights on", **more: object) -> dict[str, object]:
    return {
        "request": {"model": "m", "messages": [{"role": "user", "content": content}]},
        "response": {
            "created": int(YESTERDAY),
            "choices": [{"message": {"role": "assistant", "content": "done"}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        },
        **more,
    }


def write(file: Path, *lines: object) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def shipped(database: sa.Engine, folder: Path) -> list[Call]:
    with database.connect() as connection:
        paths = connection.scalars(sa.select(segments.c.path).order_by(segments.c.path)).all()
    texts = [(folder / "loop" / "lake" / path).read_text() for path in paths]
    return [msgspec.json.decode(line, type=Call) for text in texts for line in text.splitlines()]


def test_recorded_calls_become_calls_of_their_hour(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    lines = [recorded(task="home", user="u1"), recorded("lights off", session="s")]
    file = write(tmp_path / "calls.jsonl", *lines)
    imported = loop("import", file, "--task", "chat")
    assert imported.exit_code == 0, imported.output
    first, second = shipped(database, tmp_path)
    assert (first.task, first.user, first.release) == ("home", "u1", "imported")
    assert (second.task, second.session) == ("chat", "s")
    assert (first.prompt_tokens, first.completion_tokens) == (3, 1)
    assert json.loads(bytes(first.request)) == lines[0]["request"]
    with database.connect() as connection:
        hours = set(connection.scalars(sa.select(segment_hours.c.hour)))
    assert hours == {hour_of(first.call_id)}
    assert abs(first.started_at - YESTERDAY) <= 1


def test_feedback_on_an_imported_call_would_be_taken(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    loop("import", write(tmp_path / "calls.jsonl", recorded()), "--tenant", "acme")
    (call,) = shipped(database, tmp_path)
    identity = CallIdentity(identity_secret(tmp_path / "loop" / "identity.secret"))
    assert identity.issued(call.call_id, "acme")
    assert not identity.issued(call.call_id, "default")


def test_the_same_line_is_the_same_call_again(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    file = write(tmp_path / "calls.jsonl", recorded(), recorded("lights off"))
    loop("import", file)
    loop("import", file)
    calls = shipped(database, tmp_path)
    assert len(calls) == 4
    assert len({call.call_id for call in calls}) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"request": {}', "line 2: Input data was truncated"),
        ('{"request": {"messages": []}}', "missing required field `response`"),
        ('{"request": {}, "response": {"choices": [1]}}', "neither `messages` nor `prompt`"),
        ('{"request": {"prompt": "a"}, "response": {}}', "has no `choices`"),
        ('{"request": {"prompt": "a"}, "response": {"choices": [1]}}', "it has no time"),
        (json.dumps(recorded(started_at=17)), "its time 17"),
        (json.dumps(recorded(started_at=time.time() + 900)), "and now"),
    ],
)
def test_one_wrong_line_and_nothing_is_imported(
    loop: Loop, database: sa.Engine, tmp_path: Path, line: str, says: str
) -> None:
    file = write(tmp_path / "calls.jsonl", recorded())
    file.write_text(file.read_text() + line + "\n")
    refused = loop("import", file)
    assert refused.exit_code == 1
    assert says in refused.output
    assert "1 of 2 lines" in refused.output
    assert shipped(database, tmp_path) == []


def test_accepted_corrections_go_out_with_their_lineage(
    loop: Loop, database: sa.Engine, tmp_path: Path
) -> None:
    with database.begin() as connection:
        proposal = {"proposed_in": "f1", "proposed_by": "home-app/u1"}
        connection.execute(sa.insert(review_items).values(item("a", "decided") | proposal))
        connection.execute(sa.insert(review_items).values(item("b", "decided")))
        for decision, of, verdict in (
            ("1", "a", "accept"),
            ("2", "b", "accept"),
            ("3", "b", "reject"),
        ):
            connection.execute(
                sa.insert(decisions).values(
                    decision_id=decision, item_id=of, reviewer="lena", verdict=verdict, chosen="ok"
                )
            )
    out = tmp_path / "corrections.jsonl"
    exported = loop("export", "corrections", "--out", out)
    assert exported.exit_code == 0, exported.output
    (line,) = map(json.loads, out.read_text().splitlines())  # b was rejected in the end
    assert line["call_id"] == "a"
    assert (line["chosen"], line["rejected"]) == ("ok", "no")
    assert (line["feedback_id"], line["contributor"]) == ("f1", "home-app/u1")
    assert (line["decision_id"], line["reviewer"], line["cycles"]) == ("1", "lena", [])


def test_an_adapter_goes_out_as_a_folder(loop: Loop, database: sa.Engine, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    with database.begin() as connection:
        release = registry.register(
            connection,
            cycle=None,
            parent=None,
            adapter="cd" * 32,
            adapter_path=adapter,
            weights_path=tmp_path,
            drill=False,
            record={},
        )
    exported = loop("export", "adapter", release, "--out", tmp_path / "out")
    assert exported.exit_code == 0, exported.output
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == b"weights"
    again = loop("export", "adapter", release, "--out", tmp_path / "out")
    assert again.exit_code == 1
    assert "is not empty" in again.output
