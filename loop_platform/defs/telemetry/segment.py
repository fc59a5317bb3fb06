"""Reads a journal segment: the records that are whole, and the lines that are kept aside."""

import hashlib
from dataclasses import dataclass, field

import msgspec

from loop_platform.identity import hour_of
from loop_platform.records import Call, Continued, Contribution, Feedback, Line, Opened, Record

_decoder = msgspec.json.Decoder(Line)


@dataclass(frozen=True)
class Aside:
    """A line that could not be read. `line` 0 is the whole segment."""

    line: int
    reason: str
    content: str


@dataclass
class Content:
    """What is in a segment, by the hour that it belongs to."""

    calls: dict[str, list[Call]] = field(default_factory=dict)
    feedback: dict[str, list[Feedback | Contribution]] = field(default_factory=dict)
    aside: list[Aside] = field(default_factory=list)

    @property
    def hours(self) -> set[str]:
        return self.calls.keys() | self.feedback.keys()


def read_segment(segment: bytes, sha256: str | None = None) -> Content:
    """Every line that can be read is; the rest is kept aside with the reason.

    A last line without its newline is a write that a crash cut, unless it is whole.
    """
    content = Content()
    if sha256 is not None and (found := hashlib.sha256(segment).hexdigest()) != sha256:
        content.aside.append(Aside(0, f"sha256 is {found}, the manifest says {sha256}", ""))
    lines = segment.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line:
            _take(content, number, line, torn=number == len(lines))
    return content


def _take(content: Content, number: int, line: bytes, *, torn: bool) -> None:
    try:
        record = _decoder.decode(line)
        if isinstance(record, Opened | Continued):
            return
        hour = _hour(record)
    except (msgspec.DecodeError, ValueError) as error:
        reason = f"torn tail: {error}" if torn else str(error)
        content.aside.append(Aside(number, reason, line.decode(errors="backslashreplace")))
        return
    if isinstance(record, Call):
        content.calls.setdefault(hour, []).append(record)
    else:
        content.feedback.setdefault(hour, []).append(record)


def _hour(record: Record) -> str:
    """The hour of a call is in its id. That of feedback too: it is the hour that it arrived in, or
    its call's where the client named it."""
    if isinstance(record, Call):
        bytes(record.request).decode()  # raw JSON is not looked at by the decoder
        return hour_of(record.call_id)
    if isinstance(record, Feedback):
        hour_of(record.call_id)
    return hour_of(record.feedback_id)
