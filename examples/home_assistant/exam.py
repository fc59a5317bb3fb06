"""The exam: held-out commands through the gateway, as any application would send them.

It has a task name and a tenant of its own, so that nothing of it is reviewed or trained on.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from home_assistant.app import SYSTEM, App, Reply
from home_assistant.grammar import exact
from home_assistant.intervals import Share
from home_assistant.sampling import Command
from home_assistant.traffic import bounded

TASK = "home_assistant_exam"
_GUIDED_TASK = "home_assistant_guided"
_USER = "simulated-examiner"
_GUIDED_TOKENS = 96


async def success(app: App, commands: Sequence[Command], advance: Callable[[], None]) -> list[bool]:
    """Whether each command was understood exactly."""
    outcomes = [False] * len(commands)

    async def sit(number: int, command: Command) -> None:
        reply = await app.command(command, _USER, task=TASK)
        outcomes[number] = exact(command.gold, reply.text)
        advance()

    await bounded(partial(sit, number, one) for number, one in enumerate(commands))
    return outcomes


async def guided(
    app: App,
    commands: Sequence[Command],
    known: Sequence[Command],
    advance: Callable[[], None],
) -> Share:
    """The same model with examples in the prompt and its output held to the format: how far the
    format alone goes. Examples, intents and slot names are those of the `known` commands."""
    before, schema = shown(known)
    shape: dict[str, Any] = {
        "type": "json_schema",
        "json_schema": {"name": "intent", "schema": schema},
    }
    outcomes: list[bool] = []

    async def sit(command: Command) -> None:
        messages = [*before, {"role": "user", "content": command.text}]
        reply: Reply = await app.ask(
            messages, _USER, _GUIDED_TASK, max_tokens=_GUIDED_TOKENS, response_format=shape
        )
        outcomes.append(exact(command.gold, reply.text))
        advance()

    await bounded(partial(sit, command) for command in commands)
    return Share.of(outcomes)


def shown(known: Sequence[Command]) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """The turns before a question, and the JSON schema of its answer."""
    return _few_shot(_examples(known)), _schema(known)


def _few_shot(examples: Sequence[Command]) -> list[dict[str, str]]:
    turns = [{"role": "system", "content": SYSTEM}]
    for example in examples:
        turns.append({"role": "user", "content": example.text})
        turns.append({"role": "assistant", "content": example.answer})
    return turns


def _schema(known: Sequence[Command]) -> dict[str, Any]:
    intents = sorted({command.intent for command in known})
    names = sorted({slot for command in known for slot in command.gold["slots"]})
    value = {"anyOf": [{"type": "string", "maxLength": 30}, {"type": "integer"}]}
    return {
        "type": "object",
        "properties": {
            "intent": {"type": "string", "enum": intents},
            "slots": {
                "type": "object",
                "properties": dict.fromkeys(names, value),
                "additionalProperties": False,
            },
        },
        "required": ["intent", "slots"],
        "additionalProperties": False,
    }


def _examples(known: Sequence[Command]) -> list[Command]:
    """One command of each of some intents."""
    first: dict[str, Command] = {}
    for command in known:
        first.setdefault(command.intent, command)
    return [first[intent] for intent in sorted(first)][::2]
