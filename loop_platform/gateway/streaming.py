"""An answer that comes as a stream of events: what of it the caller gets, and how it ended."""

from loop_platform.gateway.events import (
    DONE,
    EventSplitter,
    each_of,
    failed,
    parted,
    payload,
    usage_of,
)
from loop_platform.gateway.exchange import Exchange, Outcome
from loop_platform.gateway.redaction import Redaction

_SPECIAL = (b'"usage"', b'"error"', DONE)
"""What an event has to have in it to be more than a piece of the answer."""


class StreamedAnswer:
    """Holds back the last event, `[DONE]`, until the call is in the journal."""

    def __init__(self, exchange: Exchange, hidden: Redaction) -> None:
        self._exchange = exchange
        self._hidden = hidden
        self._splitter = EventSplitter()
        self._failure: str | None = None
        self.last: bytes | None = None
        """The event that ends the stream, once it is there."""

    def feed(self, data: bytes) -> bytes:
        """Takes what the engine sent and returns what of it goes to the caller now."""
        self._exchange.receive(data)
        events = self._splitter.together(data)
        passed = self._hidden.events(events)
        if passed is None:
            ordinary, special = b"", events
        else:
            ordinary, special = parted(passed, _SPECIAL)
        return ordinary + self._one_by_one(special) if special else ordinary

    def _one_by_one(self, events: bytes) -> bytes:
        onward = []
        for event in each_of(events):
            if any(mark in event for mark in _SPECIAL):
                self._look(event)
                if self.last is not None:
                    break
            onward.append(self._hidden.event(event))
        return b"".join(onward)

    def _look(self, event: bytes) -> None:
        said = payload(event)
        if said == DONE:
            self.last = event
            return
        if b'"usage"' in said:
            self._exchange.usage = usage_of(said)
        if failed(said):
            self._failure = f"the engine failed: {said[:500].decode(errors='replace')}"

    def outcome(self, status: int) -> Outcome:
        """How it ended, when the engine sends no more."""
        if self._failure is not None:
            return Outcome(status, False, self._failure, fault=True)
        if self.last is None:
            return Outcome(status, False, "the stream ended before its last event", fault=True)
        return Outcome(status, True)
