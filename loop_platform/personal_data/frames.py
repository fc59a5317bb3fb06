"""What a gateway and its redactor say to each other: JSON, each piece with its length before it."""

from typing import Literal

import msgspec

LENGTH = 4
"""Bytes of the length, the most significant first."""

Form = Literal["body", "answer", "text"]
"""A request's JSON; an answer, JSON or the text of an event stream; a text as people write."""


class Text(msgspec.Struct, frozen=True):
    form: Form
    text: str


class Wanted(msgspec.Struct, frozen=True):
    """Texts out of which personal data is to be taken."""

    texts: list[Text]


class Redacted(msgspec.Struct, frozen=True):
    """The same texts without it, in their order."""

    texts: list[str]
    found: dict[str, int]
    """How many of each kind were replaced."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The texts cannot be redacted. Nothing of them is said here."""

    reason: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The redactor has read its models and waits."""


class Done(msgspec.Struct, frozen=True, tag=True):
    redacted: Redacted


Said = Ready | Done | Failed


def framed(message: Wanted | Said) -> bytes:
    content = msgspec.json.encode(message)
    return len(content).to_bytes(LENGTH) + content
