"""Everything that the driver talks to: the gateway and the console, with a key for each role."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from home_assistant.app import App
from home_assistant.console import Console
from home_assistant.loop import Loop


@dataclass(frozen=True)
class Services:
    app: App
    """What the simulated users go through."""
    exam: App
    """The examiner, of another tenant: nothing of it is reviewed or trained on."""
    review: Console
    """What the simulated reviewer works with."""
    onlooker: Console
    loop: Loop


@asynccontextmanager
async def services() -> AsyncIterator[Services]:
    """From `LOOP_DEMO_GATEWAY`, `LOOP_DEMO_CONSOLE` and the four `LOOP_DEMO_…_KEY`."""
    gateway, console = _given("GATEWAY"), _given("CONSOLE")
    app, exam = App(gateway, _given("APP_KEY")), App(gateway, _given("EXAM_KEY"))
    review = Console(console, _given("REVIEWER_KEY"))
    onlooker = Console(console, _given("ADMIN_KEY"))
    try:
        yield Services(app, exam, review, onlooker, Loop(onlooker))
    finally:
        for client in (app, exam, review, onlooker):
            await client.close()


def _given(name: str) -> str:
    value = os.environ.get(f"LOOP_DEMO_{name}")
    if not value:
        raise SystemExit(f"LOOP_DEMO_{name} is not set: `loop demo` sets it")
    return value
