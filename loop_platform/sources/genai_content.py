"""What was said, as instrumentations tell it in a span, in OpenAI's format.

Read are the attributes and the event of the GenAI semantic conventions since 1.37
(`gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.system_instructions`), the events of the
versions before (`gen_ai.user.message` …, `gen_ai.choice`), and the numbered attributes of
OpenLLMetry (`gen_ai.prompt.0.content` …). What none of them tells stays unknown: most
instrumentations leave content out unless they are asked for it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from loop_platform.sources.otlp import Attributes, Span

Message = dict[str, Any]
Choice = dict[str, Any]

_NUMBERED = re.compile(r"gen_ai\.(prompt|completion)\.(\d+)\.(.+)")
_SPOKEN = re.compile(r"gen_ai\.(system|user|assistant|tool)\.message")

_ROLES = {"model": "assistant"}
_REASONS = {"tool_call": "tool_calls"}


def prompt(span: Span) -> list[Message]:
    """The conversation before the answer; empty where the span does not tell."""
    told = _told(span)
    system = _system(decoded(told.get("gen_ai.system_instructions")))
    if said := _said(told.get("gen_ai.input.messages"), "user"):
        return [*system, *(message for one in said for message in _messages(one))]
    spoken = [_spoken(event.name, event.attributes) for event in span.events]
    if events := [message for message in spoken if message is not None]:
        return events
    return [_numbered_message(one) for one in _numbered(span.attributes, "prompt")]


def choices(span: Span) -> list[Choice]:
    """The answers, each with `index`, `message` and `finish_reason`."""
    told = _told(span)
    if said := _said(told.get("gen_ai.output.messages"), "assistant"):
        return [_choice(n, _messages(one), one.get("finish_reason")) for n, one in enumerate(said)]
    events = [event.attributes for event in span.events if event.name == "gen_ai.choice"]
    if events:
        return [
            _choice(n, [_choice_message(one)], one.get("finish_reason")) for n, one in _n(events)
        ]
    return [
        _choice(n, [_numbered_message(one)], one.get("finish_reason"))
        for n, one in _n(_numbered(span.attributes, "completion"))
    ]


def decoded(value: object) -> object:
    """An attribute that holds a structure, or its JSON."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:  # a text after all
            return value
    return value


def _told(span: Span) -> Attributes:
    """The span's attributes, with those of the event that may hold its content."""
    of_event = next(
        (
            e.attributes
            for e in span.events
            if e.name == "gen_ai.client.inference.operation.details"
        ),
        {},
    )
    return {**of_event, **span.attributes}


def _said(value: object, role: str) -> list[dict[str, Any]]:
    """Messages; a plain text, which some put there, is one of `role`."""
    found = decoded(value)
    if isinstance(found, str) and found:
        return [{"role": role, "content": found}]
    return _objects(found)


def _system(parts: object) -> list[Message]:
    if isinstance(parts, str):
        parts = [{"type": "text", "content": parts}]
    found = _objects(parts)
    return [{"role": "system", "content": _content(found)}] if found else []


def _messages(said: Mapping[str, Any]) -> list[Message]:
    """One of OpenAI's messages, and one more for each tool's answer in it."""
    role = _ROLES.get(str(said.get("role")), str(said.get("role") or "user"))
    if "parts" not in said:  # OpenAI's format, as some instrumentations have it
        plain = ("content", "tool_calls", "tool_call_id", "name", "refusal")
        return [{"role": role} | {name: said[name] for name in plain if name in said}]
    parts = _objects(said["parts"])
    answers = [_tool_answer(part) for part in parts if part.get("type") == "tool_call_response"]
    calls = [_tool_call(part) for part in parts if part.get("type") == "tool_call"]
    thought = [str(p.get("content") or "") for p in parts if p.get("type") == "reasoning"]
    aside = ("tool_call", "tool_call_response", "reasoning")
    rest = [part for part in parts if part.get("type") not in aside]
    if answers and not (rest or calls):
        return answers
    message: Message = {"role": role, "content": _content(rest) if rest else None}
    if calls:
        message["tool_calls"] = calls
    if thought:
        message["reasoning_content"] = "\n".join(thought)
    return [*answers, message]


def _content(parts: Sequence[Mapping[str, Any]]) -> str | list[dict[str, Any]]:
    """One text as it is; several parts, or others than text, as a list of parts."""
    if len(parts) == 1 and parts[0].get("type") == "text":
        return str(parts[0].get("content") or "")
    return [_part(part) for part in parts]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") == "text":
        return {"type": "text", "text": str(part.get("content") or "")}
    if part.get("type") == "uri" and part.get("modality") == "image":
        return {"type": "image_url", "image_url": {"url": str(part.get("uri") or "")}}
    return dict(part)


def _tool_call(part: Mapping[str, Any]) -> dict[str, Any]:
    arguments = part.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    function = {"name": str(part.get("name") or ""), "arguments": text}
    return {"id": part.get("id"), "type": "function", "function": function}


def _tool_answer(part: Mapping[str, Any]) -> Message:
    said = part.get("response", part.get("result"))
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return {"role": "tool", "tool_call_id": part.get("id"), "content": text}


def _choice(index: int, messages: Sequence[Message], reason: object) -> Choice:
    reason = None if reason is None else _REASONS.get(str(reason), str(reason))
    return {"index": index, "message": messages[-1], "finish_reason": reason}


def _spoken(name: str, attributes: Attributes) -> Message | None:
    """An event of the conventions before 1.37."""
    found = _SPOKEN.fullmatch(name)
    if found is None:
        return None
    message: Message = {
        "role": attributes.get("role") or found[1],
        "content": attributes.get("content"),
    }
    if calls := _objects(decoded(attributes.get("tool_calls"))):
        message["tool_calls"] = calls
    if found[1] == "tool":
        message["tool_call_id"] = attributes.get("id")
    return message


def _choice_message(attributes: Attributes) -> Message:
    said = decoded(attributes.get("message", attributes.get("content")))
    if isinstance(said, dict):
        return {"role": "assistant", **said}
    return {"role": "assistant", "content": None if said is None else str(said)}


def _numbered(attributes: Attributes, what: str) -> list[dict[str, Any]]:
    """`gen_ai.prompt.0.role`, `gen_ai.prompt.0.content`, … as a list of objects."""
    found: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        place = _NUMBERED.fullmatch(name)
        if place is not None and place[1] == what:
            found.setdefault(int(place[2]), {})[place[3]] = value
    return [found[number] for number in sorted(found)]


def _numbered_message(given: Mapping[str, Any]) -> Message:
    role = str(given.get("role") or "user")
    message: Message = {"role": role, "content": given.get("content")}
    calls: list[dict[str, Any]] = []
    while f"tool_calls.{len(calls)}.name" in given:
        at = f"tool_calls.{len(calls)}"
        calls.append(
            _tool_call({key: given.get(f"{at}.{key}") for key in ("id", "name", "arguments")})
        )
    if calls:
        message["tool_calls"] = calls
    return message


def _n(given: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """Each with its own index, or its place."""
    return [
        (index if isinstance(index := one.get("index"), int) else place, one)
        for place, one in enumerate(given)
    ]


def _objects(given: object) -> list[dict[str, Any]]:
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
