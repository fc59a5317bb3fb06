"""The simulated users: they command, look whether it worked, rate, and correct.

Their habits are stated here, and beside every figure that they make.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from home_assistant.app import TASK, App, Reply, now
from home_assistant.chat import Prompt
from home_assistant.grammar import exact
from home_assistant.sampling import Command

USERS = 240


@dataclass(frozen=True)
class Habits:
    """Shares of calls, or of corrections, of which users do this."""

    correct: float
    """Of failed commands: give the right answer."""
    wrong: float = 0.03
    """Of corrections: a wrong one."""
    rate: float = 0.3
    """Of all calls: give one to five stars."""

    def stated(self) -> dict[str, float]:
        return {"correct": self.correct, "wrong": self.wrong, "rate": self.rate}


@dataclass
class Crowd:
    """All users together: what they asked and said, and when."""

    app: App
    chance: random.Random
    asked: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    """By release: commands that worked."""
    commands: Counter[str] = field(default_factory=Counter)
    """By release: commands."""
    corrected_at: dict[str, float] = field(default_factory=dict)
    """feedback_id of a correction → when it was posted, by our own clock."""
    command_of: dict[str, Command] = field(default_factory=dict)
    """call_id → what was said."""
    wrong: int = 0
    """Corrections that were wrong."""
    people: set[str] = field(default_factory=set)

    async def command(self, command: Command, habits: Habits) -> None:
        """One user commands something, and tells how it went."""
        user = self._someone()
        reply = await self.app.command(command, user)
        self.asked[TASK] += 1
        self.command_of[reply.call_id] = command
        worked = exact(command.gold, reply.text)
        self.commands[reply.release] += 1
        self.succeeded[reply.release] += worked
        await self._say(reply, user, outcome=worked)
        if not worked and self.chance.random() < habits.correct:
            await self._correct(reply, user, command, habits)
        if self.chance.random() < habits.rate:
            await self._say(reply, user, rating=5 if worked else self.chance.choice([1, 1, 2]))

    async def chat(self, prompt: Prompt, habits: Habits) -> None:
        """One user chats, and mostly likes it."""
        user = self._someone()
        reply = await self.app.chat(prompt.text, user)
        self.asked["general_chat"] += 1
        if self.chance.random() < habits.rate:
            stars = self.chance.choices([5, 4, 3, 2, 1], [35, 35, 22, 5, 3])[0]
            await self._say(reply, user, rating=stars)

    def _someone(self) -> str:
        user = f"simulated-{self.chance.randrange(USERS):03d}"
        self.people.add(user)
        return user

    async def _correct(self, reply: Reply, user: str, command: Command, habits: Habits) -> None:
        errs = self.chance.random() < habits.wrong
        answer = mistaken(command, self.chance) if errs else command.answer
        posted_at = now()
        feedback_id = await self._say(reply, user, correction=answer)
        self.corrected_at[feedback_id] = posted_at
        self.wrong += errs

    async def _say(self, reply: Reply, user: str, **what: Any) -> str:  # noqa: ANN401 - JSON
        (kind,) = what
        self.said[kind] += 1
        return await self.app.feedback(reply.call_id, user, **what)


def mistaken(command: Command, chance: random.Random) -> str:
    """An answer as a careless person gives it: one thing in it is wrong."""
    slots = dict(command.gold["slots"])
    intent = command.intent
    if slots and chance.random() < 0.5:
        slots.pop(chance.choice(sorted(slots)))
    else:
        intent = "HassTurnOn" if intent != "HassTurnOn" else "HassTurnOff"
    return json.dumps({"intent": intent, "slots": slots})
