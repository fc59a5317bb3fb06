"""Asks the champion once more what it was asked in traffic: the yardstick for tasks that no
validator judges.
"""

import asyncio
import json
from typing import Any

import polars as pl

from loop_platform.chat import Chat
from loop_platform.defs.evaluation.interview import EngineTroubleError
from loop_platform.defs.evaluation.scoring import alike
from loop_platform.defs.evaluation.shadow_gates import Likeness
from loop_platform.embedder import Embedder

MOST = 40
"""Calls of a task that are asked again: each costs what a call costs."""
_IN_FLIGHT = 8
_MOST_TOKENS = 256
# How the caller wanted the answer delivered; it does not change what the answer says.
_DELIVERY = frozenset(
    {"stream", "stream_options", "logprobs", "top_logprobs", "n", "metadata", "model", "store"}
)


def likeness(rows: pl.DataFrame, champion: Chat, embedder: Embedder) -> Likeness:
    """Champion and candidate against what the champion answered, on the first calls of a task.

    Raises:
        EngineTroubleError: the champion did not answer.
    """
    asked = rows.head(MOST)
    bodies = [
        _body(request, messages)
        for request, messages in asked.select("request", "messages").iter_rows()
    ]
    replies = asyncio.run(champion.ask(bodies, _IN_FLIGHT))
    errors = [reply.error for reply in replies if reply.error is not None]
    if errors:
        raise EngineTroubleError(f"the champion {champion.model!r} did not answer: {errors[0]}")
    said = [answer or "" for answer in asked["champion_answer"]]
    return Likeness(
        champion=alike(embedder, said, [reply.text for reply in replies]),
        candidate=alike(embedder, said, [answer or "" for answer in asked["candidate_answer"]]),
    )


def _body(request: str, messages: str) -> dict[str, Any]:
    body = {key: value for key, value in json.loads(request).items() if key not in _DELIVERY}
    body.pop("prompt", None)
    body["messages"] = json.loads(messages)
    body["max_tokens"] = min(body.get("max_tokens") or _MOST_TOKENS, _MOST_TOKENS)
    return body
