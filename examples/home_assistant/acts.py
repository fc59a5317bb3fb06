"""The demo, act by act: what happens in which order, and what each act measures."""

import asyncio

from home_assistant import corpus, production
from home_assistant.app import now
from home_assistant.corpus import Corpus
from home_assistant.loop import TooLateError
from home_assistant.reviewer import ERROR_RATE
from home_assistant.sampling import Command
from home_assistant.story import COMMANDS, QUEUE_FROM, SEEN, UNSEEN, Figures, Story
from home_assistant.traffic import Background
from home_assistant.users import USERS, Habits

POOL = 900
NEW_COMMANDS, NEW_SEEN, NEW_UNSEEN = 600, 100, 60
_EAGER = Habits(correct=0.85)
_CASUAL = Habits(correct=0.1)
_CYCLE_TIMEOUT_S = 2400.0


async def first_cycle(story: Story) -> Corpus:
    """From a model that fails every command to one that its users taught."""
    held = corpus.first_release(story.seed, POOL, SEEN, UNSEEN)
    story.screen.say(
        f"{len(held.traffic)} commands to say and {len(held.heldout)} held out, sampled from the"
        " product's grammar: they are not logs of real users"
    )
    story.figures["task_before"] = await story.examine(held, "before")
    story.figures["few_shot_guided"] = await story.guided(held)
    story.figures["review"] = await _collect(story, "0001", held.traffic[:COMMANDS])
    async with _users(story, held.traffic) as users, story.reviewer:
        story.figures["cycles"] = [await story.follow("0001", users, _CYCLE_TIMEOUT_S)]
        await production.arrived(story, "0001")
    story.figures["task_after"] = await story.examine(held, "after")
    release = story.figures["cycles"][0]["release"]
    if release is None:
        raise TooLateError("cycle 0001 was given up: it came to no release (see the Dagster UI)")
    story.figures["first_release"] = await story.services.loop.release(release)
    return held


async def drill(story: Story, held: Corpus) -> None:
    """The plain candidate on the same rows, which the gates have to refuse."""
    async with _users(story, held.traffic) as users:
        story.figures["drill"] = await story.follow("0001-drill", users, _CYCLE_TIMEOUT_S)
    release = story.figures["drill"]["release"]
    if release is None:
        raise TooLateError("the drill was given up: it came to no release (see the Dagster UI)")
    story.figures["drill_release"] = await story.services.loop.release(release)


async def second_cycle(story: Story, held: Corpus) -> None:
    """The next product release brings ten kinds of command that nobody has taught yet."""
    new = corpus.second_release(story.seed, POOL, NEW_SEEN, NEW_UNSEEN)
    figures: Figures = {"new_before": await story.examine(new, "new kinds of command, before")}
    story.figures["second"] = figures
    async with _users(story, held.traffic) as users, story.reviewer:
        users.pace = 6.0
        figures["drift_before"] = await story.drift(None, _promoted(story), timeout_s=300)
        users.pace = 0.0
        arrived = now()
        mixed = story.chance.sample(held.traffic, NEW_COMMANDS // 3) + new.traffic[:NEW_COMMANDS]
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(story.traffic(mixed, _EAGER))
            figures["drift_after"] = await story.drift(True, arrived, timeout_s=600)
            await story.corrections("0002", timeout_s=600)
            calling.cancel()
        users.commands = held.traffic + new.traffic
        story.figures["cycles"].append(await story.follow("0002", users, _CYCLE_TIMEOUT_S))
        await production.arrived(story, "0002")
    figures["new_after"] = await story.examine(new, "new kinds of command, after")
    figures["old_after"] = await story.examine(held, "old kinds of command, after")


async def _collect(story: Story, cycle: str, commands: list[Command]) -> Figures:
    """Users call and correct, the reviewer decides, until that opens a cycle."""
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(story.traffic(commands, _EAGER))
        review = await story.snapshot(QUEUE_FROM)
        async with story.reviewer:
            await story.corrections(cycle, timeout_s=900)
        calling.cancel()  # what is trained on is settled: the machine is needed elsewhere
    return review


def _promoted(story: Story) -> float:
    return float(story.figures["production"]["0001"]["promoted_at"])


def sum_up(story: Story) -> None:
    """What the simulated people did, whatever came of it."""
    story.figures["reviewer"] = {
        "decisions": dict(story.reviewer.verdicts),
        "error_rate": ERROR_RATE,
        "errors": story.reviewer.errors,
    }
    story.figures["simulated_users"] = {
        "users": len(story.crowd.people),
        "of": USERS,
        "calls": dict(story.crowd.asked),
        "feedback": dict(story.crowd.said),
        "wrong_corrections": story.crowd.wrong,
        "habits": {"while collecting": _EAGER.stated(), "later": _CASUAL.stated()},
        "commands_by_release": {
            release: {"n": n, "succeeded": story.crowd.succeeded[release]}
            for release, n in story.crowd.commands.items()
        },
    }


def _users(story: Story, commands: list[Command]) -> Background:
    return Background(story.crowd, _CASUAL, commands, story.prompts)
