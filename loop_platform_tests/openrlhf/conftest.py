"""A cycle to export: corrections of two people, thumbs, and what is held out."""

import json
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from loop_platform.database import cycle_corrections, cycles, decisions, review_items
from loop_platform.identity import new_id
from loop_platform.lake import Lake
from loop_platform.openrlhf import folder
from loop_platform.openrlhf.folder import Exported
from loop_platform.release import machine, registry
from loop_platform.settings import Settings
from loop_platform_tests.evaluation.traffic import Traffic

Row = dict[str, object]

CYCLE = "0001"
HELD_OUT = "dim the lamp in the attic, please"


def correction(number: int, messages: list[Row], **fields: object) -> Row:
    return {
        "decision_id": f"d{number}",
        "feedback_id": None,
        "call_id": f"call-{number}",
        "contributor": "home-app/u1",
        "tenant": "t",
        "task": "commands",
        "messages": json.dumps(messages),
        "prompt": "",
        "chosen": json.dumps({"lamp": number}),
        "rejected": "Sure!",
        "cluster": "commands-0001",
        "harm": 0.9,
        "embedding": [1.0, 0.0],
        "split": "train",
        "reason": None,
        **fields,
    }


def user(text: object) -> dict[str, object]:
    return {"role": "user", "content": text}


def curated() -> pl.DataFrame:
    system = {"role": "system", "content": "Answer with JSON."}
    parts = [{"type": "text", "text": "lamp"}, {"type": "text", "text": "four on"}]
    asked = {"role": "assistant", "content": "Which?"}
    picture = [{"type": "image_url", "image_url": {"url": "…"}}]
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    rows = [
        correction(1, [system, user("lamp one on")]),
        correction(
            2,
            [
                user("lamp two on"),
                asked,
                user("the ‘second’\u2028"),
            ],
        ),
        correction(3, [user("lamp three on")], rejected=None, call_id=None),
        correction(4, [user(parts)]),
        correction(5, [user(picture)]),
        correction(6, [user("lamp six on"), called, {"role": "tool", "content": "on"}]),
        correction(7, [user(HELD_OUT)], split="heldout"),
        correction(8, [user("lamp eight on")], split="quarantine"),
    ]
    return pl.DataFrame(rows)


@pytest.fixture
def exported(settings: Settings, database: sa.Engine, tmp_path: Path) -> tuple[Exported, Path]:
    """The export of the cycle, and the folder that it is in."""
    lake = Lake(settings.lake)
    lake.write(curated(), f"curation/corrections/{CYCLE}.parquet")
    with database.begin() as connection:
        _champion(connection, tmp_path)
        hold_out(connection)
    _traffic(database, lake)
    out = tmp_path / "export"
    with database.connect() as connection:
        return folder.export(connection, lake, settings, out), out


def _champion(connection: sa.Connection, weights: Path) -> None:
    connection.execute(sa.insert(cycles).values(cycle=CYCLE, kind="improvement", reason="test"))
    name = registry.register_base(
        connection, weights="ba5e" * 16, weights_path=weights, record={}, actor="test"
    )
    machine.install_first(connection, name, actor="test", reason="test")


def hold_out(connection: sa.Connection) -> None:
    """What the queue and the lineage have of the row that is held out."""
    item = {
        "item_id": "i7",
        "tenant": "t",
        "task": "commands",
        "cluster": "commands-0001",
        "messages": [user(HELD_OUT)],
        "flags": [],
        "feedback": [],
        **dict.fromkeys(("harm", "impact", "novelty", "uncertainty", "priority"), 0.5),
    }
    connection.execute(sa.insert(review_items).values(item))
    decision = {"decision_id": "d7", "item_id": "i7", "reviewer": "ada", "verdict": "accept"}
    connection.execute(sa.insert(decisions).values(decision))
    used = {"cycle": CYCLE, "decision_id": "d7", "contributor": "ada", "split": "heldout"}
    connection.execute(sa.insert(cycle_corrections).values(used))


def _traffic(database: sa.Engine, lake: Lake) -> None:
    traffic = Traffic(database, lake)
    base = f"base-{'ba5e' * 3}"

    def call(prompt: str, answer: str, **fields: object) -> dict[str, object]:
        return traffic.call(base, "champion", prompt, answer, **fields)

    liked, disliked, both, tested = (
        call(prompt, f"to {prompt}")
        for prompt in ("tell me more", "tell me less", "tell me all", HELD_OUT)
    )
    corrected = call("lamp one on", "Sure!", call_id="call-1")
    chat = call("hello", "hi", task="chat", finish_reason="stop")
    cut = call("a story", "Once upon", task="chat", finish_reason="length")
    traffic.arrive("telemetry/calls", [liked, disliked, both, tested, chat, cut])
    traffic.arrive("telemetry/calls", [{**corrected, "call_id": new_id()}])

    people: list[str] = []

    def said(call: dict[str, object], **what: object) -> dict[str, object]:
        who = f"home-app/{len(people)}"
        people.append(who)
        return {
            "feedback_id": new_id(),
            "call_id": call["call_id"],
            "tenant": "t",
            "contributor": who,
            **what,
        }

    traffic.arrive(
        "telemetry/feedback",
        [
            said(liked, rating=5),
            said(disliked, outcome=False),
            said(both, outcome=True),
            said(both, rating=1),
            said(tested, rating=5),
        ],
    )
