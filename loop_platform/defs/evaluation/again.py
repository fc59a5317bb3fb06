"""What is looked at in a task that no validator judges: would the candidate have said what the
champion said in traffic? Word by word, beside the champion itself, asked once more. Each call is
asked again once, however often the trial is looked at.
"""

import asyncio
import json
from dataclasses import replace
from typing import Any

import polars as pl

from loop_platform.chat import Chat, Reply
from loop_platform.defs.evaluation.comparison import Comparison
from loop_platform.defs.evaluation.interview import EngineTroubleError
from loop_platform.defs.evaluation.words import AGREES, asked_again, kept

MOST = 40
"""Calls of a task that are asked again: each costs what reading a call and its answer costs."""
_IN_FLIGHT = 8
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
    prompts = asyncio.run(
        both.ask_champion.ask([{**body, "max_tokens": 1} for body in bodies], _IN_FLIGHT)
    )
    said = [
        replace(reply, text=answer or "")
        for reply, answer in zip(prompts, asked["champion_answer"], strict=True)
    ]
    itself, other = asked_again([both.ask_champion, both.ask_candidate], bodies, said, _IN_FLIGHT)
    _check(both.ask_champion, [*prompts, *itself])
    found = asked.select(
        "pair_id",
        itself=_agrees(kept(said, itself)),
        alike=_agrees(kept(said, other)),
    )
    return rows.update(found, on="pair_id")


def _agrees(shares: list[float]) -> pl.Series:
    return pl.Series([share >= AGREES for share in shares], dtype=pl.Boolean)


def _prompt(request: str, messages: str) -> dict[str, Any]:
    body = {key: value for key, value in json.loads(request).items() if key in _PROMPT}
    return {**body, "messages": json.loads(messages)}


def _check(champion: Chat, replies: list[Reply]) -> None:
    errors = [reply.error for reply in replies if reply.error is not None]
    if errors:
        raise EngineTroubleError(f"the champion {champion.model!r} did not answer: {errors[0]}")
