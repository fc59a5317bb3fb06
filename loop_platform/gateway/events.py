"""Server-sent events: where one ends, what the last one says."""

import re
from collections.abc import Iterable
from itertools import pairwise

import msgspec

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")

DONE = b"[DONE]"


class EventSplitter:
    """Cuts a stream of bytes into whole events, each with the bytes that it came with."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes."""
        return each_of(self.together(data))

    def together(self, data: bytes) -> bytes:
        """The same, in one piece."""
        data = self._rest + data
        if b"\r" in data:  # engines write events without
            end = max((end.end() for end in _END.finditer(data)), default=0)
        else:
            last = data.rfind(b"\n\n")
            end = 0 if last < 0 else last + 2
        self._rest = data[end:]
        return data[:end]

    def rest(self) -> bytes:
        """What came after the last whole event."""
        return self._rest


def each_of(events: bytes) -> list[bytes]:
    """Whole events, one by one."""
    ends = [0, *(end.end() for end in _END.finditer(events))]
    return [events[start:end] for start, end in pairwise(ends)]


def parted(events: bytes, marks: Iterable[bytes]) -> tuple[bytes, bytes]:
    """Whole events: those before the first that has one of the marks in it, and the others."""
    found = [place for mark in marks if (place := events.find(mark)) >= 0]
    if not found:
        return events, b""
    before = events.rfind(b"\n\n", 0, min(found))
    middle = 0 if before < 0 else before + 2
    return events[:middle], events[middle:]


def payload(event: bytes) -> bytes:
    """The data of an event of one line, as OpenAI's are."""
    return event[5:].strip() if event.startswith(b"data:") else b""


def failed(data: bytes) -> bool:
    """Whether the engine says in an event that it failed."""
    return data.startswith(b'{"error"') or (
        b'"error"' in data and b'"choices"' not in data and data.startswith(b"{")
    )


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    """As `/v1/responses` calls the first."""
    output_tokens: int | None = None


class _Answer(msgspec.Struct, frozen=True):
    usage: Usage | None = None


_answer = msgspec.json.Decoder(_Answer)

_UNKNOWN = Usage()


def usage_of(data: bytes) -> Usage:
    """The token counts in an answer or in the data of an event."""
    if b'"usage"' not in data:
        return _UNKNOWN
    try:
        usage = _answer.decode(data).usage or _UNKNOWN
    except msgspec.DecodeError:
        return _UNKNOWN
    if usage.input_tokens is not None:
        return Usage(usage.input_tokens, usage.output_tokens)
    return usage
