"""The fixed prompts that every candidate answers: general ones, and ones about safety.

Written by ourselves; a folder named by `settings.suites` takes their place. One JSON object a line:
`{"category", "prompt"}`, and `"expect": "help" | "decline"` in the safety suite.
"""

from pathlib import Path
from typing import Literal, get_args

import msgspec

SuiteName = Literal["retention", "safety"]
Expectation = Literal["help", "decline"]

_PACKAGED = Path(__file__).parent / "suites"


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One prompt of a suite."""

    category: str
    prompt: str
    expect: Expectation = "help"

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.prompt}]


class SuiteError(ValueError):
    """A suite that cannot be read."""


def suite(name: SuiteName, folder: Path | None = None, limit: int | None = None) -> list[Prompt]:
    """The prompts of a suite; with a limit, as evenly over its categories as they allow.

    Raises:
        SuiteError: the file is missing or empty, or a line of it is no prompt.
    """
    file = (folder or _PACKAGED) / f"{name}.jsonl"
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise SuiteError(f"suite {file} cannot be read: {error.strerror}") from error
    prompts = [_prompt(file, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not prompts:
        raise SuiteError(f"suite {file} is empty: one JSON object a line, with category and prompt")
    return prompts if limit is None else _spread(prompts)[:limit]


def _prompt(file: Path, number: int, line: str) -> Prompt:
    try:
        return msgspec.json.decode(line, type=Prompt)
    except msgspec.DecodeError as error:
        expected = " | ".join(get_args(Expectation))
        raise SuiteError(
            f"line {number} of {file} is no prompt: {error}; a line is"
            f' {{"category": …, "prompt": …, "expect": {expected}}}'
        ) from error


def _spread(prompts: list[Prompt]) -> list[Prompt]:
    """The first of each category, then the second of each, and so on."""
    seen: dict[str, int] = {}
    turns = []
    for prompt in prompts:
        turns.append(seen.setdefault(prompt.category, 0))
        seen[prompt.category] += 1
    order = sorted(range(len(prompts)), key=lambda at: turns[at])
    return [prompts[at] for at in order]
