"""Of what a line of the journal is, whatever kind of line it is, now or in a later version."""

from typing import Optional

import msgspec


class Line(msgspec.Struct):
    """The ids in a line; what was said in it is passed over."""

    record: str
    call_id: str | None = None
    """Of a call, or of the call that a feedback is on."""
    pair_id: str | None = None
    feedback_id: str | None = None
    """Of a contribution too."""
    tenant: str | None = None
    user: str | None = None
    call: Optional["Line"] = None
    """Where the line only tells of a call, as of one that began."""

    @property
    def called(self) -> "Line | None":
        """The call that the line is, or tells of."""
        if self.call is not None:
            return self.call
        return self if self.record == "call" else None


_line = msgspec.json.Decoder(Line)


def line_of(text: bytes) -> Line | None:
    """None where nobody can read it."""
    try:
        return _line.decode(text)
    except msgspec.DecodeError:
        return None
