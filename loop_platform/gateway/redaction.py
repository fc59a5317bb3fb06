"""Takes out of an answer what the gateway asked for and the caller did not.

An answer that holds none of it passes byte for byte.
"""

from dataclasses import dataclass

import msgspec

from loop_platform.gateway.cutting import events_without_logprobs, without_logprobs

_NULL = msgspec.Raw(b"null")

_body = msgspec.json.Decoder(dict[str, msgspec.Raw])
_choices = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


@dataclass(frozen=True, slots=True)
class Redaction:
    logprobs: bool
    usage: bool
    """Token counts in a stream."""

    def whole(self, body: bytes) -> bytes:
        """An answer in one piece, as the caller gets it."""
        if not self.logprobs or b'"logprobs"' not in body:
            return body
        try:
            if (cut := without_logprobs(body)) is not None:
                return cut
            fields = _body.decode(body)
            choices = _without_logprobs(fields["choices"])
        except (msgspec.DecodeError, KeyError):  # an error's body, or no JSON
            return body
        if choices is None:
            return body
        return msgspec.json.encode(fields | {"choices": choices})

    def events(self, events: bytes) -> bytes | None:
        """Events of a stream without the log-probabilities, and still with the token counts; None
        where each has to be looked at by itself."""
        if not self.logprobs or b'"logprobs"' not in events:
            return events
        return events_without_logprobs(events)

    def event(self, event: bytes) -> bytes:
        """An event of a stream, as the caller gets it; nothing where it is all ours."""
        logprobs = self.logprobs and b'"logprobs"' in event
        usage = self.usage and b'"usage"' in event
        if not (logprobs or usage) or not event.startswith(b"data:"):
            return event
        try:
            if not usage and (cut := without_logprobs(event[5:])) is not None:
                return b"data:" + cut
            fields = _body.decode(event[5:])
            if usage:
                usage = fields.pop("usage", None) is not None
                if bytes(fields["choices"]).strip() == b"[]":
                    return b""
            choices = _without_logprobs(fields["choices"]) if logprobs else None
        except (msgspec.DecodeError, KeyError):
            return event
        if choices is not None:
            fields["choices"] = choices
        elif not usage:
            return event
        return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def _without_logprobs(choices: msgspec.Raw) -> msgspec.Raw | None:
    """The choices without them; None where there are none."""
    kept = _choices.decode(choices)
    having = [choice for choice in kept if bytes(choice.get("logprobs", _NULL)) != b"null"]
    for choice in having:
        choice["logprobs"] = _NULL
    return msgspec.Raw(msgspec.json.encode(kept)) if having else None
