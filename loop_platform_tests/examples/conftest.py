"""The demo's environment, and what its sampler says in it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-demo" / "bin" / "python"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "examples")}

_SAMPLE = """
import json
from dataclasses import asdict
from home_assistant import chat, corpus, grammar, home
found = {}
for name, release in (("first", corpus.first_release), ("second", corpus.second_release)):
    held = release(3, 200, 60, 40)
    product = grammar.Product(grammar.FIRST if name == "first" else grammar.SECOND)
    kinds = {"traffic": held.traffic, "seen": held.heldout_seen, "unseen": held.heldout_unseen}
    found[name] = {
        kind: [
            {**asdict(c), "answer": c.answer, "key": corpus.key(c.text),
             "parsed": product.parse(c.text), "places": sorted(product.places(c.text))}
            for c in commands
        ]
        for kind, commands in kinds.items()
    }
found["devices"] = {device.name: device.domain for device in home.DEVICES}
found["areas"] = [*home.AREAS, *home.FLOORS]
found["chat"] = {
    "traffic": [p.text for p in chat.prompts(chat.TRAFFIC)],
    "retention": [p.text for p in chat.retention()],
    "categories": [chat.TRAFFIC, chat.RETENTION],
}
print(json.dumps(found))
"""


def in_demo_environment(*arguments: str) -> str:
    """What a program of the demo's environment prints."""
    done = subprocess.run(
        [PYTHON, *arguments],
        env=ENVIRONMENT,
        cwd=ROOT / "examples",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def sampled() -> dict[str, Any]:
    """Commands of both product releases, and general prompts, from the packaged data."""
    found: dict[str, Any] = json.loads(in_demo_environment("-c", _SAMPLE))
    return found
