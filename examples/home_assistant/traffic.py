"""Traffic: calls of many users, a few at a time, as fast as the stage of the loop leaves room for.

While the loop trains and evaluates, users call seldom: training and serving share the machine.
"""

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from home_assistant.chat import Prompt
from home_assistant.sampling import Command
from home_assistant.users import Crowd, Habits

CONCURRENCY = 24
"""The engine takes 32 at a time, and a token for 24 calls costs it little more than one for 8."""
_COMMAND_SHARE = 0.7

Job = Callable[[], Awaitable[None]]


async def bounded(jobs: Iterable[Job], concurrency: int = CONCURRENCY) -> None:
    """Run the jobs, a few at a time, in order. The first error ends it."""
    queue = iter(jobs)

    async def worker() -> None:
        for job in queue:
            await job()

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())


def jobs(
    crowd: Crowd,
    habits: Habits,
    commands: Sequence[Command],
    prompts: Sequence[Prompt],
    advance: Callable[[], None],
) -> list[Job]:
    """A job for each command and each prompt, mixed."""

    async def command(one: Command) -> None:
        await crowd.command(one, habits)
        advance()

    async def chat(one: Prompt) -> None:
        await crowd.chat(one, habits)
        advance()

    mixed: list[Job] = [
        *(partial(command, one) for one in commands),
        *(partial(chat, one) for one in prompts),
    ]
    crowd.chance.shuffle(mixed)
    return mixed


class Background:
    """Users that go on calling, for as long as the block lasts, `pace` calls a second."""

    def __init__(
        self, crowd: Crowd, habits: Habits, commands: Sequence[Command], prompts: Sequence[Prompt]
    ) -> None:
        self.pace = 0.0
        self.calls = 0
        self.commands = commands
        self._crowd = crowd
        self._habits = habits
        self._prompts = prompts
        self._last = time.monotonic()

    async def __aenter__(self) -> "Background":
        self._workers = asyncio.gather(*(self._work() for _ in range(CONCURRENCY)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._workers.cancel()
        await asyncio.gather(self._workers, return_exceptions=True)

    def check(self) -> None:
        """Raises what ended a worker."""
        if self._workers.done():
            self._workers.result()

    async def _work(self) -> None:
        balanced = _balanced(self.commands, self._crowd.chance)
        known = self.commands
        while True:
            await self._turn()
            if known is not self.commands:
                known, balanced = self.commands, _balanced(self.commands, self._crowd.chance)
            if self._crowd.chance.random() < _COMMAND_SHARE:
                await self._crowd.command(next(balanced), self._habits)
            else:
                await self._crowd.chat(self._crowd.chance.choice(self._prompts), self._habits)
            self.calls += 1

    async def _turn(self) -> None:
        """Until the next call is due: asked anew all the time, for the pace changes."""
        while self.pace <= 0 or time.monotonic() < self._last + 1 / self.pace:
            await asyncio.sleep(0.1)
        self._last = time.monotonic()


def _balanced(commands: Sequence[Command], chance: random.Random) -> "itertools.chain[Command]":
    """Commands for ever: every intent as often as the others."""
    by_intent: dict[str, list[Command]] = defaultdict(list)
    for command in commands:
        by_intent[command.intent].append(command)
    intents = sorted(by_intent)
    rounds = (chance.sample(intents, len(intents)) for _ in itertools.count())
    return itertools.chain.from_iterable(
        (chance.choice(by_intent[intent]) for intent in turn) for turn in rounds
    )
