"""Writes every task's rows into a folder, a file each: `{task}.train.jsonl`, `{task}.test.jsonl`.

Commands (`commands-1` is the release of 2024.3, each later one what it added, `commands-6` the last
one's in German) have two tests: of templates that are trained on, and of those that are not. `chat`
has prompts alone: to be replayed are plain questions of the function calls' corpus, tested is with
chatterbot-corpus. Run by the demo's environment, which has the product's parser.
"""

import argparse
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from home_assistant import chat, corpus, exam
from home_assistant.app import SYSTEM
from home_assistant.grammar import FIRST, SECOND, Product
from home_assistant.sampling import Command

from focused import functions, support

RELEASES = (FIRST, SECOND, "2025.3.28", "2025.9.24", "2026.3.24")
GERMAN = len(RELEASES) + 1
"""The number of the cycle that brings the last release's commands in German."""
GUIDED = 100
"""Commands that the bare model is asked; its few successes need no more."""


def write_all(out: Path, given: argparse.Namespace) -> None:
    _others(out, given)
    known: set[str] = set()
    sizes = (given.rows, given.test, given.test)
    for number, version in enumerate(RELEASES[: given.cycles], 1):
        found = corpus.release(version, known, given.seed, sizes)
        known |= set(Product(version).kinds)
        _commands(out, number, found)
        if number == 1:
            _guided(out, found)
    if given.cycles >= GERMAN:
        _commands(out, GERMAN, corpus.in_language(RELEASES[-1], "de", given.seed, sizes))


def _commands(out: Path, number: int, found: corpus.Corpus) -> None:
    _write(out / f"commands-{number}.train.jsonl", map(command, found.traffic))
    _write(out / f"commands-{number}.seen.jsonl", map(command, found.heldout_seen))
    _write(out / f"commands-{number}.unseen.jsonl", map(command, found.heldout_unseen))


def command(said: Command, before: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    turns = list(before) or [{"role": "system", "content": SYSTEM}]
    return {
        "task": "commands",
        "messages": [*turns, {"role": "user", "content": said.text}],
        "answer": said.answer,
        "template": said.template,
    }


def _guided(out: Path, found: corpus.Corpus) -> None:
    before, schema = exam.shown(found.traffic)
    (out / "schema.json").write_text(json.dumps(schema))
    for name, asked in (("seen", found.heldout_seen), ("unseen", found.heldout_unseen)):
        rows = (command(one, before) for one in asked[:GUIDED])
        _write(out / f"few-shot.{name}.jsonl", rows)


def _others(out: Path, given: argparse.Namespace) -> None:
    for name, (train, test) in {
        "functions": functions.split(given.test),
        "support": support.split(given.test, given.seed),
    }.items():
        _write(out / f"{name}.train.jsonl", train[: given.taught])
        _write(out / f"{name}.test.jsonl", test)
    chance = random.Random(given.seed)
    questions = [text for text in functions.plain_questions() if 12 <= len(text) < 120]
    prompts = [one.text for one in chat.prompts((*chat.TRAFFIC, *chat.RETENTION))]
    asked = chance.sample(prompts, min(given.test, len(prompts)))
    replayed = sorted(set(questions) - set(asked))
    _write(out / "chat.test.jsonl", map(_prompt, asked))
    _write(out / "chat.train.jsonl", map(_prompt, chance.sample(replayed, given.chats)))


def _prompt(text: str) -> dict[str, Any]:
    return {"task": "chat", "messages": [{"role": "user", "content": text}]}


def _write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, required=True, help="corrections a cycle")
    parser.add_argument("--test", type=int, required=True, help="held-out rows a task")
    parser.add_argument("--taught", type=int, required=True, help="rows that make the champion")
    parser.add_argument("--chats", type=int, required=True, help="general prompts to replay")
    parser.add_argument("--cycles", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    write_all(given.out, given)


if __name__ == "__main__":
    main()
