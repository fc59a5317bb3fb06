"""A cycle's rows as OpenRLHF reads them with its option `apply_chat_template`: whole conversations,
a line of JSON each, of which the last message is the answer.

It cuts the prompt off by its length in characters, so a pair has to have the same prompt. Columns
have one type in a whole file: a message here is a role and a text, nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Conversation = list[dict[str, str]]


class NotTextError(ValueError):
    """A conversation that is more than texts: tools, pictures, sound."""


@dataclass(frozen=True)
class Lesson:
    """A correction: what was said, what was answered, what should have been."""

    task: str
    prompt: Conversation
    chosen: str
    rejected: str | None


@dataclass(frozen=True)
class Thumb:
    """An answer, and whether the one who got it was content."""

    prompt: Conversation
    answer: str
    good: bool


def conversation(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """The messages as roles and texts.

    Raises:
        NotTextError: one of them calls a tool, answers as one, or is not a text alone.
    """
    return [_message(message) for message in messages]


def supervised(lessons: Iterable[Lesson]) -> Iterator[dict[str, Any]]:
    """For `train_sft`: `messages`."""
    for lesson in lessons:
        yield {"messages": _answered(lesson.prompt, lesson.chosen)}


def preferences(lessons: Iterable[Lesson]) -> Iterator[dict[str, Any]]:
    """For `train_dpo` and `train_rm`: `chosen` and `rejected`, of what has both."""
    for lesson in lessons:
        if lesson.rejected is not None:
            yield {
                "chosen": _answered(lesson.prompt, lesson.chosen),
                "rejected": _answered(lesson.prompt, lesson.rejected),
            }


def labelled(lessons: Iterable[Lesson], thumbs: Iterable[Thumb]) -> Iterator[dict[str, Any]]:
    """For `train_kto`: `messages`, and as `label` 1 for a good answer, 0 for a bad one."""
    for lesson in lessons:
        yield {"messages": _answered(lesson.prompt, lesson.chosen), "label": 1}
        if lesson.rejected is not None:
            yield {"messages": _answered(lesson.prompt, lesson.rejected), "label": 0}
    for thumb in thumbs:
        yield {"messages": _answered(thumb.prompt, thumb.answer), "label": int(thumb.good)}


def prompts(lessons: Iterable[Lesson]) -> Iterator[dict[str, Any]]:
    """For `train_ppo_ray`: `input`, as `label` the right answer, for the reward, and the task."""
    for lesson in lessons:
        yield {"input": lesson.prompt, "label": lesson.chosen, "datasource": lesson.task}


def _answered(prompt: Conversation, answer: str) -> Conversation:
    return [*prompt, {"role": "assistant", "content": answer}]


def _message(message: Mapping[str, Any]) -> dict[str, str]:
    role, content = message.get("role"), message.get("content")
    if message.get("tool_calls") or role == "tool":
        raise NotTextError("it calls tools")
    if isinstance(content, list):
        kinds = {part.get("type") if isinstance(part, dict) else None for part in content}
        if kinds != {"text"}:
            raise NotTextError("it has a message that is not text alone")
        content = "\n".join(str(part["text"]) for part in content)
    if not isinstance(role, str) or not isinstance(content, str):
        raise NotTextError("it has a message without a role or a text")
    return {"role": role, "content": content}
