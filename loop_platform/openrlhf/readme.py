"""The README of an export: what is in it, how OpenRLHF runs it, and the way back."""

from collections.abc import Iterator, Mapping
from textwrap import dedent

from loop_platform.openrlhf import commands
from loop_platform.openrlhf.commands import Command, Run
from loop_platform.release.registry import Release

_WHAT = {
    "sft.jsonl": "the corrections, as conversations",
    "replay.jsonl": "answers of the champion on other tasks, to be kept",
    "preferences.jsonl": "chosen and rejected answers",
    "kto.jsonl": "answers with a label, 1 for good and 0 for bad: corrections, and thumbs",
    "prompts.jsonl": "prompts, with the right answer as label",
    "reward.py": "the reward: 1 where the answer is the label",
}


def text(
    cycle: str, champion: Release, files: Mapping[str, int], left_out: Mapping[str, int], run: Run
) -> str:
    """As Markdown."""
    return "\n\n".join(_parts(cycle, champion, files, left_out, run)) + "\n"


def _parts(
    cycle: str, champion: Release, files: Mapping[str, int], left_out: Mapping[str, int], run: Run
) -> Iterator[str]:
    back = champion.release
    yield f"# Cycle {cycle} for OpenRLHF"
    yield _join("""
        What people corrected in this cycle, without what is held out to test the result. It holds
        what users said: treat it as you treat the loop's own data. `loop erase` does not reach it.
        """)
    yield _table(files)
    if left_out:
        said = "; ".join(f"{count} because {why}" for why, count in left_out.items())
        yield f"Left out, for OpenRLHF reads roles and texts: {said}."
    yield "## Run it"
    yield _join(f"""
        With OpenRLHF {commands.VERSION}, in this folder. `MODEL` is the champion's model as the
        cluster sees it: copy the folder there.
        """)
    yield _shell(f"export MODEL={champion.weights_path}", "export GPUS=8 RAY=http://127.0.0.1:8265")
    yield "Supervised:"
    yield _run(commands.supervised(run), commands.way_back("out/sft", back))
    if "preferences.jsonl" in files:
        yield "Preferences (DPO; `train_rm` reads the same file):"
        yield _run(commands.preferred(run), commands.way_back("out/dpo", back))
    yield _join(f"""
        Labels (KTO), which OpenRLHF had up to {commands.KTO_VERSION}: `pip install
        openrlhf=={commands.KTO_VERSION}`.
        """)
    yield _run(commands.labelled(run), commands.way_back("out/kto", back))
    yield _join("""
        Reinforcement learning. All weights are trained, since OpenRLHF cannot hand an adapter's
        weights to vLLM; `loop import adapter` makes an adapter of what changed, and says how much
        of the change it holds.
        """)
    yield _run(commands.reinforced(run), commands.way_back("out/rl", back))
    yield "## The way back"
    yield _join(f"""
        The last line of each command registers the result as a candidate. `--base {back}` says
        what it was trained on, `--trained-on .` from what: the gates see to it that none of it is
        in the test. It is tested on what the newest cycle holds out and takes the same gates as
        any other.
        """)


def _table(files: Mapping[str, int]) -> str:
    lines = [
        f"| `{name}` | {files.get(name, '')} | {what} |"
        for name, what in _WHAT.items()
        if name in files or not name.endswith(".jsonl")
    ]
    return "\n".join(["| file | rows | |", "|---|---|---|", *lines])


def _run(there: Command, here: Command) -> str:
    return _shell(str(there), str(here).replace(" \\\n    ", " "))


def _shell(*lines: str) -> str:
    return "\n".join(["```sh", *lines, "```"])


def _join(paragraph: str) -> str:
    return " ".join(dedent(paragraph).split())
