"""What a dead worker left open: sealed, with an entry for each answer that ended with it."""

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec

from loop_platform.gateway.segment import OPEN_SUFFIX, give_final_name


class _Opened(msgspec.Struct, tag_field="record", tag="opened"):
    call: msgspec.Raw


class _Continued(msgspec.Struct, tag_field="record", tag="continued"):
    pass


class _Call(msgspec.Struct, tag_field="record", tag="call"):
    call_id: str


_line = msgspec.json.Decoder(_Opened | _Continued | _Call)
_call = msgspec.json.Decoder(_Call)


def seal_abandoned(folder: Path) -> int:
    """Seals the open files whose writers died, and says how many.

    A stream that had begun and has no end there was cut with its writer, and is entered as such. A
    torn last line stays torn: the reader sets it aside.
    """
    sealed = 0
    for path in sorted(folder.glob(f"*{OPEN_SUFFIX}")):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):  # sealed meanwhile; alive
            file = os.open(path, os.O_RDWR | os.O_APPEND)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_size == 0:
                    path.unlink()
                else:
                    _enter_cut(file, path.read_bytes())
                    give_final_name(path)
                    sealed += 1
            finally:
                os.close(file)
    return sealed


def _enter_cut(file: int, content: bytes) -> None:
    """A break in here is made good by doing it again: what is entered is no longer open."""
    lines = b"".join(call + b"\n" for call in cut_streams(content))
    if not lines:
        return
    if not content.endswith(b"\n"):
        lines = b"\n" + lines
    while lines:
        lines = lines[os.write(file, lines) :]
    os.fsync(file)


def cut_streams(content: bytes) -> list[bytes]:
    """The calls, as lines of JSON, that began in a segment, and neither ended there nor went on in
    the next."""
    if b'"opened"' not in content:
        return []
    begun: dict[str, bytes] = {}
    for text in content.split(b"\n"):
        with contextlib.suppress(msgspec.DecodeError):  # feedback, or torn
            line = _line.decode(text)
            if isinstance(line, _Opened):
                begun[_call.decode(line.call).call_id] = bytes(line.call)
            elif isinstance(line, _Continued):
                begun.clear()
            else:
                begun.pop(line.call_id, None)
    return list(begun.values())
