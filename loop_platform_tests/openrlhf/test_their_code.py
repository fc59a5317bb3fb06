"""OpenRLHF reads what we export: by its own data code, and by its own options."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from loop_platform.openrlhf import commands
from loop_platform.openrlhf.commands import KTO_VERSION, VERSION, Command, Run
from loop_platform.openrlhf.folder import Exported
from loop_platform_tests import packages
from loop_platform_tests.engine.programs import PYTHON, ROOT

RUN = Run(rank=8, alpha=8, max_tokens=256, epochs=2, prompts=4, replay=True)
CHOSEN = [json.dumps({"lamp": number}) for number in (1, 2, 3, 4)]


def _read(out: Path, tiny: Path, version: str, which: str) -> dict[str, Any]:
    path = f"{packages.openrlhf(version)}:{ROOT}"
    done = subprocess.run(
        [str(PYTHON), "-m", "loop_platform_tests.openrlhf.their_code", str(out), str(tiny), which],
        env={"PYTHONPATH": path, "PATH": "", "HOME": str(out), "HF_DATASETS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_its_datasets_read_the_export(exported: tuple[Exported, Path], tiny: Path) -> None:
    """A turn ends with `<|end|>` in the tiny model's chat template."""
    found = _read(exported[1], tiny, VERSION, "today")

    assert found["supervised"] == [f"{said}<|end|>" for said in (*CHOSEN, "hi")]
    assert found["batch"] == 5
    assert found["pairs"] == [
        [_prompts()[at], f"{CHOSEN[at]}<|end|>", "Sure!<|end|>"] for at in (0, 1, 3)
    ]
    assert found["prompts"] == [
        ["commands", prompt, chosen, None]
        for prompt, chosen in zip(_prompts(), CHOSEN, strict=True)
    ]
    assert found["rewards"] == [1.0, 0.0]


def test_its_kto_read_the_export(exported: tuple[Exported, Path], tiny: Path) -> None:
    found = _read(exported[1], tiny, KTO_VERSION, "kto")

    rows = [(prompt, answer, label) for prompt, answer, label, _ in found["rows"]]
    assert rows[:2] == [
        (_prompts()[0], f"{CHOSEN[0]}<|end|>", 1),
        (_prompts()[0], "Sure!<|end|>", 0),
    ]
    assert {row[1:] for row in rows[-2:]} == {
        ("to tell me more<|end|>", 1),
        ("to tell me less<|end|>", 0),
    }
    assert found["labels"] == [label for *_, label in rows] + [-1] * len(rows)


@pytest.mark.parametrize(
    ("command", "version"),
    [
        (commands.supervised(RUN), VERSION),
        (commands.preferred(RUN), VERSION),
        (commands.reinforced(RUN), VERSION),
        (commands.labelled(RUN), KTO_VERSION),
    ],
    ids=["sft", "dpo", "rl", "kto"],
)
def test_its_programs_have_the_options(command: Command, version: str) -> None:
    (module,) = (word for word in command.program if word.startswith("openrlhf.cli."))
    file = packages.openrlhf(version) / f"{module.replace('.', '/')}.py"
    text = file.read_text()
    known = set(re.findall(r'add_argument\(\s*"(--[\w.]+)"', text))
    assert {option[0] for option in command.options} <= known
    flags = set(re.findall(r'add_argument\(\s*"(--[\w.]+)",\s*action="store_true"', text))
    assert {option[0] for option in command.options if len(option) == 1} <= flags


def _prompts() -> list[str]:
    """As the tiny model's chat template has them."""
    first = "<|system|>Answer with JSON.<|end|><|user|>lamp one on<|end|><|assistant|>"
    second = (
        "<|user|>lamp two on<|end|><|assistant|>Which?<|end|><|user|>the ‘second’\u2028<|end|>"
        "<|assistant|>"
    )
    others = (f"<|user|>{said}<|end|><|assistant|>" for said in ("lamp three on", "lamp\nfour on"))
    return [first, second, *others]
