"""Whether an answer succeeded, by the task of its row."""

import json
import re
from collections import Counter
from typing import Any

ENOUGH = 0.3
"""F1 over words with what a person answered, from which a support answer counts as one. People who
answer the same question from the same passage use other words, too."""

Row = dict[str, Any]


def success(row: Row, said: str) -> bool:
    """
    Raises:
        KeyError: a task that nothing here can tell of.
    """
    tell = {"commands": _command, "functions": _call, "support": _support}[row["task"]]
    return tell(row, said)


def f1(wanted: str, said: str) -> float:
    """Harmonic mean of precision and recall over words, as SQuAD counts them (Rajpurkar et al.
    2016, arXiv:1606.05250)."""
    here, there = Counter(_words(wanted)), Counter(_words(said))
    shared = (here & there).total()
    return 2 * shared / (here.total() + there.total()) if shared else 0.0


def _support(row: Row, said: str) -> bool:
    return f1(row["answer"], said) >= ENOUGH


def _command(row: Row, said: str) -> bool:
    return bool(_json(row["answer"]) == _json(said))


def _call(row: Row, said: str) -> bool:
    call, wanted = _json(said), row["accepted"]
    if not isinstance(call, dict) or "name" not in call:
        return False
    if not wanted:
        return call["name"] is None
    [(name, arguments)] = wanted.items()
    return bool(call["name"] == name and _accepted(arguments, call.get("arguments")))


def _accepted(wanted: Any, said: Any) -> bool:  # noqa: ANN401 - JSON
    """An object of lists of accepted values, "" among them where it may be left out; or a value."""
    if isinstance(wanted, dict):
        if not isinstance(said, dict) or not said.keys() <= wanted.keys():
            return False
        return all(
            any(_accepted(option, said[name]) for option in options)
            if name in said
            else "" in options
            for name, options in wanted.items()
        )
    if isinstance(wanted, list):
        if not isinstance(said, list) or len(said) != len(wanted):
            return False
        return all(_accepted(*pair) for pair in zip(wanted, said, strict=True))
    if isinstance(wanted, str) and isinstance(said, str):
        return _words(wanted) == _words(said)
    # JSON's true is no 1.
    return bool(wanted == said and isinstance(wanted, bool) == isinstance(said, bool))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _json(text: str) -> Any:  # noqa: ANN401
    """What is said, or None, which no answer is."""
    try:
        return json.loads(text)
    except ValueError:
        return None
