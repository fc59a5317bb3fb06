"""What is looked at in a task that no validator judges: would the candidate have said what the
champion said in traffic? Word by word, beside the champion itself, asked once more. Each call is
asked again once, however often the trial is looked at.
"""

import json
from dataclasses import replace
from typing import Any

import polars as pl

from loop_platform.defs.evaluation.comparison import Comparison
from loop_platform.defs.evaluation.interview import Side, check_answered, interview
from loop_platform.defs.evaluation.words import AGREES, again, kept

MOST = 40
"""Calls of a task that are asked again: each costs what reading a call and its answer costs."""
# What shapes the prompt; everything else is about how an answer was drawn or delivered.
_PROMPT = ("messages", "tools", "tool_choice", "chat_template_kwargs")


def with_likeness(rows: pl.DataFrame, task: str, limit: int, both: Comparison) -> pl.DataFrame:
    """The pairs with `itself`, whether the champion, asked again, would say what it said, and
    `alike`, whether the candidate would; of the first `limit` pairs of the task.

    Raises:
        EngineTroubleError: the champion did not answer.
    """
    asked = rows.filter(pl.col("task") == task).head(limit)
    bodies = [
        _prompt(request, messages)
        for request, messages in asked.select("request", "messages").iter_rows()
    ]
    champion, release = both.ask_champion, both.champion.release
    [read] = interview(Side(champion, {"prompts": [{**body, "max_tokens": 1} for body in bodies]}))
    check_answered(read["prompts"], release)
    said = [
        replace(reply, text=answer or "")
        for reply, answer in zip(read["prompts"], asked["champion_answer"], strict=True)
    ]
    parts = {"again": again(bodies, said)}
    old, new = interview(Side(champion, parts), Side(both.ask_candidate, parts))
    check_answered(old["again"], release)
    found = asked.select(
        "pair_id",
        itself=_agrees(kept(said, old["again"])),
        alike=_agrees(kept(said, new["again"])),
    )
    return rows.update(found, on="pair_id")


def _agrees(shares: list[float]) -> pl.Series:
    return pl.Series([share >= AGREES for share in shares], dtype=pl.Boolean)


def _prompt(request: str, messages: str) -> dict[str, Any]:
    body = {key: value for key, value in json.loads(request).items() if key in _PROMPT}
    return {**body, "messages": json.loads(messages)}
