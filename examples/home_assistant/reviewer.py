"""The simulated reviewer: knows the product, errs at a stated rate, works the real queue."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from home_assistant.app import TASK
from home_assistant.console import Console, Document
from home_assistant.grammar import Product, answer_text, exact
from home_assistant.sampling import Command

ERROR_RATE = 0.02
FIRST_ITEMS = 50
_IDLE_S = 2.0


@dataclass
class Reviewer:
    """Takes the next item for as long as it runs, and decides."""

    console: Console
    product: Product
    chance: random.Random
    verdicts: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    order: list[str] = field(default_factory=list)
    """call_ids, as they were decided."""
    _working: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Reviewer":
        self._working = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._working is not None
        self._working.cancel()
        await asyncio.gather(self._working, return_exceptions=True)

    def check(self) -> None:
        """Raises what ended the work."""
        if self._working is not None and self._working.done() and not self._working.cancelled():
            self._working.result()

    async def _work(self) -> None:
        while True:
            item = await self.console.next_item()
            if item is None:
                await asyncio.sleep(_IDLE_S)
                continue
            decision = self.decision(item)
            await self.console.decide(item["item_id"], decision)
            self.verdicts[decision["verdict"]] += 1
            if item.get("call_id"):
                self.order.append(item["call_id"])

    def decision(self, item: Mapping[str, Any]) -> Document:
        """Accepts what is right, corrects what is wrong, rejects where nothing was proposed."""
        proposed = item.get("proposed")
        gold = self.product.parse(_said(item)) if item["task"] == TASK else None
        if proposed is None or gold is None:
            return {"verdict": "reject", "note": "nobody proposed an answer that could be checked"}
        right = exact(gold, proposed)
        if self.chance.random() < ERROR_RATE:
            self.errors += 1
            return {"verdict": "reject"} if right else {"verdict": "accept", "chosen": proposed}
        if right:
            return {"verdict": "accept", "chosen": proposed}
        return {"verdict": "correct", "chosen": answer_text(gold)}


def _said(item: Mapping[str, Any]) -> str:
    said = [m["content"] for m in item["messages"] if m["role"] == "user"]
    return str(said[-1]) if said else ""


def coverage(calls: Sequence[str], commands: Mapping[str, Command]) -> int:
    """How many kinds of failure (intents) the first items show."""
    return len({commands[call].intent for call in calls[:FIRST_ITEMS] if call in commands})


def coverages(
    ranked: Sequence[str],
    arrived: Sequence[str],
    commands: Mapping[str, Command],
    chance: random.Random,
) -> dict[str, float]:
    """The queue's order beside first-in-first-out and random order of the same items."""
    shuffles = [chance.sample(list(arrived), len(arrived)) for _ in range(500)]
    random_order = [coverage(shuffled, commands) for shuffled in shuffles]
    return {
        "items": float(len(ranked)),
        "first": float(min(FIRST_ITEMS, len(ranked))),
        "ranked": float(coverage(ranked, commands)),
        "first_in_first_out": float(coverage(arrived, commands)),
        "random": round(sum(random_order) / len(random_order), 2),
        "possible": float(len({commands[c].intent for c in ranked if c in commands})),
    }
