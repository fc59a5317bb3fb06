"""From correction to production, by the driver's own clock: a cross-check of the loop's figures."""

import asyncio
from functools import partial

from home_assistant.app import now
from home_assistant.intervals import percentile
from home_assistant.loop import until
from home_assistant.story import Figures, Story
from home_assistant.traffic import bounded


async def arrived(story: Story, cycle: str) -> None:
    """Sees that every answer comes from the cycle's release, and how long its corrections took."""
    turn = (await story.services.loop.cycles())[cycle]
    if turn["release_state"] != "champion":
        story.screen.say(f"cycle {cycle} did not make it: {turn['release_state']}", "bold red")
        return
    promoted_at = await _serving(story, turn["release"])
    waited = await _waited(story, turn["release"], promoted_at)
    found: Figures = {"promoted_at": promoted_at, "n": len(waited)}
    if waited:
        shares = {"p50": 0.5, "p95": 0.95, "max": 1.0}
        found |= {name: round(percentile(waited, share), 1) for name, share in shares.items()}
    story.figures.setdefault("production", {})[cycle] = found


async def _serving(story: Story, release: str) -> float:
    """When every answer comes from `release`."""

    async def look() -> float | None:
        probes = (story.services.exam.chat("hello", f"simulated-probe-{n}") for n in range(4))
        replies = await asyncio.gather(*probes)
        return now() if all(reply.release == release for reply in replies) else None

    return await until(f"all answers to come from {release}", look, timeout_s=60, every_s=0.2)


async def _waited(story: Story, release: str, promoted_at: float) -> list[float]:
    """Seconds from posting to production, of the corrections that `release` was made of."""
    waited: list[float] = []

    async def look(feedback_id: str, posted_at: float) -> None:
        journey = await story.services.app.journey(feedback_id)
        if journey.get("release") == release:
            waited.append(promoted_at - posted_at)

    corrected = list(story.crowd.corrected_at.items())  # users go on correcting meanwhile
    await bounded(partial(look, feedback_id, posted_at) for feedback_id, posted_at in corrected)
    return waited
