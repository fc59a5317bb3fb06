"""Function calls of the Berkeley Function-Calling Leaderboard (bfcl-eval, Apache-2.0): one call, or
none where no function fits. Split by the functions' names, so that none is in both halves.

A call is right where its name is, every argument has an accepted value, and none is made up.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from home_assistant import sources

PACKAGE = ("bfcl-eval", "2026.3.23")
ANSWERED = ("simple_python", "multiple", "live_simple")
UNANSWERED = "irrelevance"
PLAIN = "live_irrelevance"
SYSTEM = 'Answer with one call as JSON, or with {"name": null} where no function fits.'
_LONGEST = 1200
"""Characters of a prompt: longer ones cost more than they show."""

Row = dict[str, Any]


def rows() -> list[Row]:
    """Every question with what is accepted, in a fixed order that is as good as random."""
    made = [row for kind in (*ANSWERED, UNANSWERED) for row in _of(kind)]
    fitting = [row for row in made if len(row["messages"][1]["content"]) <= _LONGEST]
    return sorted(fitting, key=lambda row: _place(f"{row['function']} {row['messages']}"))


def split(test: int) -> tuple[list[Row], list[Row]]:
    """To train on, and at least `test` to be asked: all questions about a function on one side."""
    names = sorted({row["function"] for row in rows()}, key=_place)
    known: dict[str, list[Row]] = {}
    for row in rows():
        known.setdefault(row["function"], []).append(row)
    asked: list[Row] = []
    while len(asked) < test and names:
        asked += known.pop(names.pop())
    return [row for row in rows() if row["function"] in known], asked[:test]


def plain_questions() -> list[str]:
    """Questions of people, without the functions that they were asked with."""
    return [entry["question"][0][-1]["content"] for entry in _lines(f"BFCL_v4_{PLAIN}.json")]


def _of(kind: str) -> Iterator[Row]:
    accepted: dict[str, Any] = {}
    if kind != UNANSWERED:
        lines = _lines(f"possible_answer/BFCL_v4_{kind}.json")
        accepted = {entry["id"]: entry["ground_truth"] for entry in lines}
    for entry in _lines(f"BFCL_v4_{kind}.json"):
        turns = entry["question"][0]
        if len(turns) != 1:
            continue
        wanted = accepted.get(entry["id"], [{}])[0]
        if _has_gaps(wanted):
            continue
        name = next(iter(wanted), None)
        call = {"name": name, "arguments": _first(wanted[name])} if name else {"name": None}
        functions = "\n".join(_signature(function) for function in entry["function"])
        asked = f"{functions}\n\n{turns[0]['content']}"
        yield {
            "task": "functions",
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": asked},
            ],
            "answer": json.dumps(call),
            "accepted": wanted,
            "function": entry["function"][0]["name"],
        }


def _signature(function: dict[str, Any]) -> str:
    """`area(base: integer, unit?: string): Calculate …`"""
    parameters = function["parameters"]
    needed = parameters.get("required", [])
    told = (
        f"{name}{'' if name in needed else '?'}: {about.get('type', 'any')}"
        for name, about in parameters.get("properties", {}).items()
    )
    return f"{function['name']}({', '.join(told)}): {function['description'][:160]}"


def _has_gaps(wanted: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether the corpus gives some argument no accepted value, or one that is in no list."""
    arguments = [found for found in wanted.values() if isinstance(found, dict)]
    return any(
        not isinstance(options, list) or not options or any(map(_nested_gaps, options))
        for found in arguments
        for options in found.values()
    )


def _nested_gaps(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, list):
        return any(map(_nested_gaps, value))
    return isinstance(value, dict) and _has_gaps({"": value})


def _first(options: Any) -> Any:  # noqa: ANN401 - JSON
    """The first accepted value of everything that may not be left out."""
    if isinstance(options, dict):
        return {name: _chosen(of) for name, of in options.items() if "" not in of}
    return options


def _chosen(options: list[Any]) -> Any:  # noqa: ANN401
    value = options[0]
    return [_first(each) for each in value] if isinstance(value, list) else _first(value)


def _lines(name: str) -> list[dict[str, Any]]:
    text = sources.read(*PACKAGE, f"bfcl_eval/data/{name}")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _place(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
