"""Rows as the trainer sees them: what is prompt, what is answer, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from loop_platform_tests.engine.programs import engine

_READ = """
import json, sys
from pathlib import Path
from transformers import AutoTokenizer
from loop_platform.engine.rows import RowRefusedError, read

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
said = []
for file in sorted(Path(sys.argv[2]).glob("*.jsonl")):
    try:
        [row] = read(file, tokenizer, replay=False, max_tokens=100)
    except RowRefusedError as error:
        said.append(str(error))
    else:
        prompt = tokenizer.decode(row.ids[:row.answer_from])
        said.append([prompt, tokenizer.decode(row.ids[row.answer_from:])])
print(json.dumps(said))
"""


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


ROWS: list[Any] = [
    {"messages": asked("hi"), "answer": "yes"},
    {"messages": asked("hi"), "answer": "cut of", "ended": False},
    {"messages": [], "answer": "x"},
    {"messages": asked("hi"), "answer": "  "},
    {"messages": asked("x" * 120), "answer": "y"},
    {"answer": "y"},
    ["no", "object"],
]


@pytest.fixture(scope="module")
def said(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the reader makes of each row: prompt and answer, or why not."""
    folder = tmp_path_factory.mktemp("rows")
    for number, row in enumerate(ROWS):
        (folder / f"{number}.jsonl").write_text(json.dumps(row) + "\n")
    found: list[Any] = json.loads(engine("-c", _READ, str(tiny), str(folder)).stdout)
    return found


def test_an_answer_is_learnt_with_its_end_of_turn(said: list[Any]):
    assert said[0] == ["<|user|>hi<|end|><|assistant|>", "yes<|end|>"]


def test_no_end_is_learnt_from_an_answer_that_a_token_limit_cut(said: list[Any]):
    assert said[1] == ["<|user|>hi<|end|><|assistant|>", "cut of"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (2, "an empty conversation"),
        (3, "an empty answer"),
        (4, "at most 100"),
        (5, "not"),
        (6, "not"),
    ],
)
def test_what_cannot_be_learnt_is_refused_by_file_and_line(
    said: list[Any], number: int, reason: str
):
    assert said[number].startswith(f"{number}.jsonl, line 1: ")
    assert reason in said[number]
