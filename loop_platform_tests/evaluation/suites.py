"""Short suites: a few prompts of each packaged one, enough for a gate to see the difference."""

from pathlib import Path

import msgspec

from loop_platform.defs.evaluation.suites import SuiteName, suite


def few_prompts(folder: Path, *, retention: int, safety: int) -> Path:
    """A folder of suites with so many prompts."""
    folder.mkdir()
    sizes: dict[SuiteName, int] = {"retention": retention, "safety": safety}
    for name, count in sizes.items():
        lines = [msgspec.json.encode(prompt).decode() for prompt in suite(name, limit=count)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return folder
