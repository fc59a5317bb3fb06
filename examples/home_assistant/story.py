"""The story that the demo tells, and the figures that it brings home."""

import random
from dataclasses import dataclass, field
from typing import Any

from home_assistant import chat, exam
from home_assistant.app import TASK
from home_assistant.corpus import Corpus
from home_assistant.grammar import SECOND, Product
from home_assistant.intervals import Share
from home_assistant.loop import seconds, under_way, until
from home_assistant.report import text
from home_assistant.reviewer import Reviewer, coverages
from home_assistant.sampling import Command
from home_assistant.screen import Screen
from home_assistant.services import Services
from home_assistant.traffic import Background, bounded, jobs
from home_assistant.users import USERS, Crowd, Habits

COMMANDS, CHATS = 560, 240
SEEN, UNSEEN = 150, 100
GUIDED = 100
QUEUE_FROM = 150
"""Items in the queue when the reviewer begins: their order is what the ranking is judged by."""

PACE = {"training": 0.05, "registered": 0.1, "evaluated": 2.0, "shadow": 4.0, "canary": 6.0}
"""Calls a second, by the stage of the cycle. One alone on the engine takes some 45 ms of a core a
token: 0.3 calls a second took 0.76 of a core, and the training took three times as long. Two
engines answer some 8 calls a second together: more leaves nothing for those who judge them."""
_PACE_ELSEWHERE = 0.5

Figures = dict[str, Any]


@dataclass
class Story:
    """Who takes part, and what was measured so far."""

    services: Services
    screen: Screen
    seed: int
    figures: Figures = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.crowd = Crowd(self.services.app, self.chance)
        self.product = Product(SECOND)
        self.reviewer = Reviewer(self.services.review, self.product, random.Random(self.seed + 1))
        self.prompts = chat.traffic(random.Random(self.seed + 2), CHATS)

    # measuring

    async def examine(self, held: Corpus, title: str) -> Figures:
        """Success on held-out commands, of seen and unseen templates apart."""
        rows = random.Random(self.seed).sample(held.heldout, len(held.heldout))
        with self.screen.count(f"{title}: held-out commands", len(rows)) as advance:
            outcomes = await exam.success(self.services.exam, rows, advance)
        unseen = {command.text for command in held.heldout_unseen}
        sat = list(zip(rows, outcomes, strict=True))
        found = {
            "all": Share.of(outcomes),
            "seen": Share.of(worked for command, worked in sat if command.text not in unseen),
            "unseen": Share.of(worked for command, worked in sat if command.text in unseen),
        }
        self.screen.say(f"{title}: {text(found['all'].as_json())} exact")
        return {name: share.as_json() for name, share in found.items()}

    async def guided(self, held: Corpus) -> Figures:
        """The bare model with examples and guided JSON, on some of the same commands."""
        rows = self.chance.sample(held.heldout, GUIDED)
        with self.screen.count("before: few-shot and guided JSON", len(rows)) as advance:
            share = await exam.guided(self.services.exam, rows, held.traffic, advance)
        self.screen.say(f"few-shot and guided JSON: {text(share.as_json())} exact")
        return share.as_json()

    # a cycle

    async def traffic(self, commands: list[Command], habits: Habits) -> None:
        """Users call, look whether it worked, rate and correct."""
        title = f"simulated traffic ({USERS} users)"
        with self.screen.count(title, len(commands) + len(self.prompts)) as advance:
            await bounded(jobs(self.crowd, habits, commands, self.prompts, advance))
        self.screen.say(
            f"simulated users asked {self.crowd.asked.total()} times and said:"
            f" {', '.join(f'{n} {kind}s' for kind, n in sorted(self.crowd.said.items()))}"
            f" ({self.crowd.wrong} corrections are wrong)"
        )

    async def snapshot(self, waiting: int) -> Figures:
        """The queue's own order beside others, before anyone worked it."""

        async def queue() -> tuple[list[Any], list[Any]] | None:
            ranked = await self._items("priority")
            return (ranked, await self._items("fifo")) if len(ranked) >= waiting else None

        ranked, arrived = await until(
            f"{waiting} items in the review queue", queue, timeout_s=300, every_s=2
        )
        found = coverages(ranked, arrived, self.crowd.command_of, random.Random(self.seed))
        self.screen.say(
            f"review queue: the first 50 of {len(ranked)} items show {found['ranked']:.0f} failure"
            f" modes of {found['possible']:.0f}; first-in-first-out"
            f" {found['first_in_first_out']:.0f}, random {found['random']:.1f}"
        )
        return found

    async def _items(self, order: str) -> list[str]:
        path = "/api/review/items"
        found = await self.services.review.get(path, state="open", order=order, limit=2000)
        return [row["call_id"] for row in found["items"] if row["call_id"]]

    async def corrections(self, cycle: str, timeout_s: float) -> None:
        """The reviewer works until the cycle opens."""

        async def look() -> bool | None:
            self.reviewer.check()
            status = await self.services.loop.status()
            counts = status["corrections"]
            tell("at work", f"{counts['usable']}/{counts['needed']} corrections accepted")
            return True if cycle in await self.services.loop.cycles() else None

        with self.screen.waiting(f"simulated reviewer, for cycle {cycle}") as tell:
            await until(f"cycle {cycle} to open", look, timeout_s)
        verdicts = ", ".join(f"{n} × {kind}" for kind, n in self.reviewer.verdicts.items())
        self.screen.say(f"cycle {cycle} opened; the simulated reviewer decided: {verdicts}")

    async def follow(self, cycle: str, users: Background, timeout_s: float) -> Figures:
        """Users go on while a cycle runs; ends when its release is where it will stay."""

        async def look() -> str | None:
            users.check()
            self.reviewer.check()
            stage = await self.services.loop.stage(cycle)
            users.pace = PACE.get(stage, _PACE_ELSEWHERE)
            tell(stage, f"{users.calls} simulated calls meanwhile")
            return None if under_way(stage) else stage

        with self.screen.waiting(f"cycle {cycle}") as tell:
            last = await until(f"cycle {cycle} to end", look, timeout_s)
        users.pace = _PACE_ELSEWHERE
        turn = (await self.services.loop.cycles())[cycle]
        self.screen.say(f"cycle {cycle}: its release {turn['release']} is {last}", "bold")
        return {**turn, "simulated_calls_meanwhile": users.calls}

    async def drift(self, want: bool | None, after: float, timeout_s: float) -> Figures:
        """The first verdict on the commands since `after`, or the first that is `want`."""

        async def look() -> Figures | None:
            verdicts = await self.services.loop.drift(TASK)
            fresh = [one for one in verdicts if seconds(one["reported_at"]) > after]
            chosen = [one for one in fresh if want is None or one["drifted"] == want]
            return chosen[0] if chosen else None

        kind = "a drift verdict" if want is None else "a drift alarm"
        return await until(f"{kind} on {TASK}", look, timeout_s, every_s=2)
