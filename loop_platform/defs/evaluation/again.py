"""Asks the champion once more what it was asked in traffic: the yardstick for tasks that no
validator judges. Each call is asked again once, however often the trial is looked at.
"""

import asyncio
import json
from typing import Any

import polars as pl

from loop_platform.chat import Chat
from loop_platform.defs.evaluation.interview import EngineTroubleError
from loop_platform.defs.evaluation.scoring import alike
from loop_platform.embedder import Embedder

MOST = 40
"""Calls of a task that are asked again: each costs what a call costs."""
_IN_FLIGHT = 8
_MOST_TOKENS = 256
# How the caller wanted the answer delivered; it does not change what the answer says.
_DELIVERY = frozenset(
    {"stream", "stream_options", "logprobs", "top_logprobs", "n", "metadata", "model", "store"}
)


def with_likeness(
    rows: pl.DataFrame, task: str, limit: int, champion: Chat, embedder: Embedder
) -> pl.DataFrame:
    """The pairs with `itself`, whether the champion, asked again, says what it said, and `alike`,
    whether the candidate does; of the first `limit` pairs of the task.

    Raises:
        EngineTroubleError: the champion did not answer.
    """
    asked = rows.filter(pl.col("task") == task).head(limit)
    bodies = [
        _body(request, messages)
        for request, messages in asked.select("request", "messages").iter_rows()
    ]
    replies = asyncio.run(champion.ask(bodies, _IN_FLIGHT))
    errors = [reply.error for reply in replies if reply.error is not None]
    if errors:
        raise EngineTroubleError(f"the champion {champion.model!r} did not answer: {errors[0]}")
    said = [answer or "" for answer in asked["champion_answer"]]
    answered = [answer or "" for answer in asked["candidate_answer"]]
    found = asked.select(
        "pair_id",
        itself=pl.Series(
            alike(embedder, said, [reply.text for reply in replies]), dtype=pl.Boolean
        ),
        alike=pl.Series(alike(embedder, said, answered), dtype=pl.Boolean),
    )
    return rows.update(found, on="pair_id")


def _body(request: str, messages: str) -> dict[str, Any]:
    body = {key: value for key, value in json.loads(request).items() if key not in _DELIVERY}
    body.pop("prompt", None)
    body["messages"] = json.loads(messages)
    body["max_tokens"] = min(body.get("max_tokens") or _MOST_TOKENS, _MOST_TOKENS)
    return body
