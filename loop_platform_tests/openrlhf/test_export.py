"""What leaves for OpenRLHF, and what does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from loop_platform.openrlhf.folder import Exported
from loop_platform.openrlhf.reward import answer, right
from loop_platform_tests.openrlhf.conftest import HELD_OUT


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().split("\n") if line]


def test_corrections_leave_as_conversations_and_nothing_that_is_held_out(
    exported: tuple[Exported, Path],
) -> None:
    report, out = exported
    supervised = _rows(out / "sft.jsonl")
    assert [row["messages"][-1]["content"] for row in supervised] == [
        json.dumps({"lamp": number}) for number in (1, 2, 3, 4)
    ]
    assert [message["role"] for message in supervised[1]["messages"]] == [
        *("user", "assistant", "user", "assistant"),
    ]
    assert supervised[3]["messages"][0] == {"role": "user", "content": "lamp\nfour on"}
    for file in out.glob("*.jsonl"):
        assert HELD_OUT not in file.read_text()
        assert "eight" not in file.read_text()
    assert report.files == {
        "sft.jsonl": 4,
        "replay.jsonl": 1,
        "preferences.jsonl": 3,
        "kto.jsonl": 9,
        "prompts.jsonl": 4,
    }
    assert report.left_out == {
        "it has a message that is not text alone": 1,
        "it calls tools": 1,
    }


def test_a_pair_has_one_prompt_and_is_there_where_both_answers_are(
    exported: tuple[Exported, Path],
) -> None:
    _, out = exported
    pairs = _rows(out / "preferences.jsonl")
    assert all(pair["chosen"][:-1] == pair["rejected"][:-1] for pair in pairs)
    assert [pair["rejected"][-1]["content"] for pair in pairs] == ["Sure!"] * 3


def test_labels_are_of_corrections_and_of_thumbs_that_agree(
    exported: tuple[Exported, Path],
) -> None:
    _, out = exported
    found = {(row["messages"][-1]["content"], row["label"]) for row in _rows(out / "kto.jsonl")}
    assert found == {
        *((json.dumps({"lamp": number}), 1) for number in (1, 2, 3, 4)),
        ("Sure!", 0),
        ("to tell me more", 1),
        ("to tell me less", 0),
    }


def test_what_is_replayed_ends_where_the_champion_ended(exported: tuple[Exported, Path]) -> None:
    _, out = exported
    (kept,) = _rows(out / "replay.jsonl")
    assert [message["content"] for message in kept["messages"]] == ["hello", "hi"]


def test_the_readme_says_how_to_run_it_and_the_way_back(exported: tuple[Exported, Path]) -> None:
    report, out = exported
    text = (out / "README.md").read_text()
    base = report.champion.release
    assert f"export MODEL={report.champion.weights_path}" in text
    assert "--data.dataset sft.jsonl,replay.jsonl" in text
    for what in ("sft", "dpo", "kto", "rl"):
        assert f"loop import adapter out/{what} --base {base} --trained-on ." in text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("<|user|>on<|end|><|assistant|>{}<|end|>", "{}"),
        ("<|user|>on<|end|><|assistant|> yes \n</s>", " yes"),
        ("<|user|>on<|end|><|assistant|>", ""),
    ],
)
def test_the_reward_looks_at_the_answer_alone(query: str, said: str) -> None:
    assert answer(query, "<|user|>on<|end|><|assistant|>") == said


def test_the_reward_compares_json_as_json() -> None:
    assert right('{"a": 1, "b": 2}', '{"b":2,"a":1}')
    assert not right('{"a": 1}', '{"a": 2}')
    assert right("paused ", "paused")
    with pytest.raises(ValueError, match="does not begin with its prompt"):
        answer("on<|end|>", "<|user|>on<|end|>")
