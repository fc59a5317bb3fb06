"""What the manifest says of a segment: noted while it is written, or read from its file."""

import contextlib
import hashlib
import io

import msgspec

from loop_platform.identity import hour_at, milliseconds_of

_HOUR_MS = 3_600_000


class _Call(msgspec.Struct, tag_field="record", tag="call"):
    call_id: str


class _Feedback(msgspec.Struct, tag_field="record", tag="feedback"):
    feedback_id: str


class _Contribution(msgspec.Struct, tag_field="record", tag="contribution"):
    feedback_id: str


class _Opened(msgspec.Struct, tag_field="record", tag="opened"):
    pass


class _Continued(msgspec.Struct, tag_field="record", tag="continued"):
    pass


_line = msgspec.json.Decoder(_Call | _Feedback | _Contribution | _Opened | _Continued)


class Contents:
    """A writer notes as it writes, so that nobody has to read its segment again."""

    def __init__(self) -> None:
        self.bytes = 0
        self.lines = 0
        self._hash = hashlib.sha256()
        self._hours: set[int] = set()

    @classmethod
    def read(cls, content: bytes) -> "Contents":
        """Of a segment whose writer is not here to ask."""
        contents = cls()
        contents.add(content, content.count(b"\n") + (not content.endswith(b"\n")))
        for line in io.BytesIO(content):
            with contextlib.suppress(ValueError):  # torn or corrupt: telemetry sets it aside
                record = _line.decode(line)
                if isinstance(record, _Opened | _Continued):
                    continue
                identifier = record.call_id if isinstance(record, _Call) else record.feedback_id
                contents._hours.add(milliseconds_of(identifier) // _HOUR_MS)
        return contents

    def add(self, lines: bytes, number: int, identifier: str | None = None) -> None:
        """So many whole lines; `identifier` is the record's own, where its hour counts."""
        self.bytes += len(lines)
        self.lines += number
        self._hash.update(lines)
        if identifier is not None:
            self._hours.add(int(identifier[:8] + identifier[9:13], 16) // _HOUR_MS)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def hours(self) -> set[str]:
        """The hourly partitions that the readable lines belong to: calls by their own id's hour,
        feedback and contributions by their arrival's."""
        return {hour_at(hour * _HOUR_MS) for hour in self._hours}
