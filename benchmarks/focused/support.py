"""Grounded support answers: people's dialogues about public services, with the passage that holds
the answer. Doc2Dial (Feng et al. 2020, arXiv:2011.06623), as nvidia-lm-eval (MIT) carries it.

A passage is shown as the run of its sentences that has most of the answer's words, for a small
model's and a small machine's sake. Split by dialogue. What a person answered is one way to say it:
an answer succeeds where its words agree with the person's (scoring.py).
"""

import json
import random
import re
from collections.abc import Sequence
from typing import Any

from home_assistant import sources

PACKAGE = ("nvidia-lm-eval", "26.3")
FOLDER = "lm_eval/tasks/chatrag_bench/dataset"
SYSTEM = "Answer the question from the text, in the text's words."
_LONGEST_EXCERPT = 700
_ANSWERS = range(30, 160)
"""Characters."""

Row = dict[str, Any]


def split(test: int, seed: int) -> tuple[list[Row], list[Row]]:
    """To train on, and `test` rows to be asked."""
    dialogues = [each for each in _dialogues() if each]
    random.Random(seed).shuffle(dialogues)
    asked: list[Row] = []
    while len(asked) < test and dialogues:
        asked += dialogues.pop()
    return [row for rows in dialogues for row in rows], asked[:test]


def _dialogues() -> list[list[Row]]:
    text = sources.read(*PACKAGE, f"{FOLDER}/nvidia_dragon_multiturn_retrieved.jsonl")
    passages = json.loads(sources.read(*PACKAGE, f"{FOLDER}/documents.json"))
    found: list[list[Row]] = []
    for turn in json.loads(text):
        if len(turn["messages"]) == 1:
            found.append([])
        passage = passages[turn["document"]][turn["ground_truth_ctx"]]
        answer = turn["answers"][0].strip()
        if len(answer) in _ANSWERS:
            shown = _excerpt(passage, answer)
            found[-1].append(_row(shown, turn["messages"][-1]["content"], answer))
    return found


def _excerpt(passage: str, answer: str) -> str:
    sentences = re.split(r"(?<=[.?!])\s+", passage)
    wanted = _words(answer)

    def shared(run: str) -> int:
        return len(wanted & _words(run))

    return max((_run(sentences[start:]) for start in range(len(sentences))), key=shared)


def _run(sentences: Sequence[str]) -> str:
    """As many of the first sentences as fit."""
    run = sentences[0]
    for sentence in sentences[1:]:
        if len(run) + len(sentence) >= _LONGEST_EXCERPT:
            break
        run += f" {sentence}"
    return run[:_LONGEST_EXCERPT]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _row(passage: str, question: str, answer: str) -> Row:
    return {
        "task": "support",
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"{passage}\n\nQuestion: {question}"},
        ],
        "answer": answer,
    }
