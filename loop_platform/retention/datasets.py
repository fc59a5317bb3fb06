"""Takes people's data out of what later stages made of it: the tables of the assets, and the files
that trainings read.

A row is found by an id in it or by the conversation that it repeats word for word. Where two people
said the very same, the rows of both go: nothing in an evaluation tells whose they were.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl

from loop_platform.defs.review.candidates import last_user_message
from loop_platform.lake import Lake
from loop_platform.retention.traces import Traces, conversation

ASSETS = (
    "review/candidates",
    "curation/corrections",
    "evaluation/offline",
    "evaluation/shadow",
    "release/canary",
    "release/watch",
)
"""The frames with a row a call, a correction or a prompt."""

_LINES = (
    "corrections.jsonl",
    "preferences.jsonl",
    "replay.jsonl",
    "thumbs.jsonl",
    "rehearsal.jsonl",
)
"""The files that a training reads."""

_IDS = ("call_id", "item_id", "pair_id", "feedback_id", "decision_id")


def erase_rows(lake: Lake, traces: Traces, decisions: set[str]) -> dict[str, int]:
    """Rewrites the assets' tables without the subject's rows; says how many of each went."""
    gone: dict[str, int] = {}
    ids = list(traces.ids | decisions)
    prompts = [last_user_message(msgspec.json.decode(said)) for said in traces.conversations]
    for asset in ASSETS:
        for path in _tables(lake, asset):
            frame = lake.read(path)
            kept = frame.filter(~_of_subject(frame, ids, [p for p in prompts if p], traces))
            if kept.height < frame.height:
                lake.write(kept, path)
                gone[asset] = gone.get(asset, 0) + frame.height - kept.height
    return gone


def erase_lines(cycles: Path, traces: Traces) -> dict[str, dict[str, int]]:
    """Takes conversations out of every cycle's training files; by file and cycle, how many went."""
    gone: dict[str, dict[str, int]] = {}
    for name in _LINES:
        for file in sorted(cycles.glob(f"*/{name}")):
            lines = file.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if _conversation_of(line) not in traces.conversations]
            if len(kept) < len(lines):
                draft = file.with_suffix(".draft")
                draft.write_bytes(b"".join(kept))
                draft.replace(file)
                gone.setdefault(name, {})[file.parent.name] = len(lines) - len(kept)
    return gone


def _tables(lake: Lake, asset: str) -> Iterator[str]:
    folder = lake.path(asset)
    if lake.exists(asset):
        for path in sorted(lake.filesystem.find(folder)):
            if path.endswith(".parquet"):
                yield f"{asset}/{path.removeprefix(f'{folder}/')}"


def _of_subject(
    frame: pl.DataFrame, ids: list[str], prompts: list[str], traces: Traces
) -> pl.Series:
    found = pl.Series([False] * frame.height, dtype=pl.Boolean)
    for name in _IDS:
        if name in frame.columns:
            found |= frame[name].is_in(ids).fill_null(value=False)
    if "messages" in frame.columns:
        said = [_of(text) in traces.conversations for text in frame["messages"]]
        found |= pl.Series(said, dtype=pl.Boolean)
    elif "prompt" in frame.columns:
        found |= frame["prompt"].is_in(prompts).fill_null(value=False)
    return found


def _of(messages: str | None) -> str:
    return conversation(msgspec.json.decode(messages or "[]"))


def _conversation_of(line: bytes) -> str:
    return conversation(msgspec.json.decode(line)["messages"])
