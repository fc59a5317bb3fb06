"""The streams of `POST /v1/responses`, which end otherwise than those of completions."""

import re

import msgspec

from loop_platform.gateway.asked import RESPONSES
from loop_platform.gateway.events import EventSplitter, usage_of
from loop_platform.gateway.exchange import Exchange, Outcome
from loop_platform.gateway.redaction import Redaction
from loop_platform.gateway.streaming import StreamedAnswer

_ENDS = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
_NOTHING = (b"", b"null")
_FAILED = frozenset({"response.failed", "error"})
# What is no candidate for the last event is passed on without being decoded.
_MAYBE_LAST = re.compile(rb'response\.(?:completed|incomplete|failed|cancelled)|"error"')


class _Event(msgspec.Struct, frozen=True):
    type: str | None = None
    error: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()


_event = msgspec.json.Decoder(_Event)


def stream_of(exchange: Exchange, hidden: Redaction) -> "StreamedAnswer | StreamedResponse":
    """The reader for the streams of a call's endpoint."""
    if exchange.asked.endpoint == RESPONSES:
        return StreamedResponse(exchange)
    return StreamedAnswer(exchange, hidden)


class StreamedResponse:
    """Holds back the event that ends a response until the call is in the journal.

    The events carry a type each, and there is no `[DONE]`. Nothing is asked for beyond what the
    caller asked for, so that every byte passes.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._splitter = EventSplitter()
        self._failure: str | None = None
        self.last: bytes | None = None
        """The event that ends the stream, once it is there."""

    def feed(self, data: bytes) -> bytes:
        """Takes what the engine sent and returns what of it goes to the caller now."""
        self._exchange.receive(data)
        onward = []
        for event in self._splitter.feed(data):
            if _MAYBE_LAST.search(event) is not None:
                self._look(event)
            if self.last is not None:
                break
            onward.append(event)
        return b"".join(onward)

    def outcome(self, status: int) -> Outcome:
        """How it ended, when the engine sends no more."""
        if self._failure is not None:
            return Outcome(status, False, self._failure, fault=True)
        if self.last is None:
            return Outcome(status, False, "the stream ended before its last event", fault=True)
        return Outcome(status, True)

    def _look(self, event: bytes) -> None:
        said = data_of(event)
        try:
            read = _event.decode(said)
        except msgspec.DecodeError:  # a comment, or another dialect: it passes
            return
        if read.type in _FAILED or (read.type is None and bytes(read.error) not in _NOTHING):
            self._failure = f"the engine failed: {said[:500].decode(errors='replace')}"
        if read.type in _ENDS:
            self.last = event
            self._exchange.usage = usage_of(bytes(read.response))


def data_of(event: bytes) -> bytes:
    """The data of an event that may have a name and several lines."""
    lines = event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
