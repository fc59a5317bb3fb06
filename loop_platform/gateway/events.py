"""Server-sent events: where one ends, what the last one says."""

import re
from collections.abc import Iterable

import msgspec

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")

DONE = b"[DONE]"


class EventSplitter:
    """Cuts a stream of bytes into whole events, each with the bytes that it came with."""

    def __init__(self) -> None:
        self._rest = b""

    def feed_but_for(self, data: bytes, marks: Iterable[bytes]) -> tuple[bytes, list[bytes]]:
        """The events that `data` completes: together those before the first that has one of the
        marks in it, and the others one by one."""
        if b"\r" in data or b"\r" in self._rest:  # engines write events without
            return b"", self.feed(data)
        data = self._rest + data
        end = data.rfind(b"\n\n") + 1
        found = [place for mark in marks if (place := data.find(mark, 0, end)) >= 0]
        middle = end + 1 if not found else data.rfind(b"\n\n", 0, min(found)) + 2
        middle = middle if middle > 1 else 0
        self._rest = data[middle:]
        return data[:middle], self.feed(b"") if found else []

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes."""
        data = self._rest + data
        events = []
        start = 0
        for end in _END.finditer(data):
            events.append(data[start : end.end()])
            start = end.end()
        self._rest = data[start:]
        return events

    def rest(self) -> bytes:
        """What came after the last whole event."""
        return self._rest


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
