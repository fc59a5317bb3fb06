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
tokenizer.chat_template = (
    "{% for m in messages %}{% if m['role'] == 'refused' %}"
    "{{ raise_exception('nobody is refused here') }}{% endif %}{% endfor %}"
    + tokenizer.chat_template
)
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
    {"messages": [{"role": "assistant", "content": None}, *asked("hi")], "answer": "y"},
    {"messages": asked("hi"), "answer": "yes<|end|>no"},
    {"messages": [{"role": "refused", "content": "hi"}], "answer": "y"},
    {"messages": asked("hi"), "answer": 7},
    {
        "messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]}],
        "answer": "yes",
    },
    {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
        "answer": "yes",
    },
    {"messages": asked("one\u2028line\x85still"), "answer": "yes"},
]


@pytest.fixture(scope="module")
def said(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the reader makes of each row: prompt and answer, or why not."""
    folder = tmp_path_factory.mktemp("rows")
    for number, row in enumerate(ROWS):
        line = json.dumps(row, ensure_ascii=False)
        (folder / f"{number:02}.jsonl").write_text(line + "\n")
    found: list[Any] = json.loads(engine("-c", _READ, str(tiny), str(folder)).stdout)
    return found


def test_an_answer_is_learnt_with_its_end_of_turn(said: list[Any]):
    assert said[0] == ["<|user|>hi<|end|><|assistant|>", "yes<|end|>"]


def test_no_end_is_learnt_from_an_answer_that_a_token_limit_cut(said: list[Any]):
    assert said[1] == ["<|user|>hi<|end|><|assistant|>", "cut of"]


def test_parts_of_text_are_read_as_the_server_reads_them(said: list[Any]):
    assert said[11] == ["<|user|>a\nb<|end|><|assistant|>", "yes<|end|>"]


def test_what_ends_a_line_for_unicode_ends_no_row(said: list[Any]):
    assert said[13] == ["<|user|>one\u2028line\x85still<|end|><|assistant|>", "yes<|end|>"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (2, "an empty conversation"),
        (3, "an empty answer"),
        (4, "at most 100"),
        (5, "not"),
        (6, "not"),
        (7, "message 1, of the role 'assistant', is not text alone"),
        (8, "the answer holds '<|end|>', which is a token of the chat template"),
        (9, "the chat template does not take the conversation: nobody is refused here"),
        (10, "the answer is no text"),
        (12, "message 1, of the role 'user', is not text alone"),
    ],
)
def test_what_cannot_be_learnt_is_refused_by_file_and_line(
    said: list[Any], number: int, reason: str
):
    assert said[number].startswith(f"{number:02}.jsonl, line 1: ")
    assert reason in said[number]
