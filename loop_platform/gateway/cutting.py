"""Sets the log-probabilities in an answer to null by cutting the bytes: all others stay as they
came, and as little as can be is decoded.

`"logprobs":` with its quotes stands for a key wherever it stands in JSON, since a quote within a
text has a backslash before it.
"""

import re

import msgspec

_NULL = b"null"
_KEY = b'"logprobs":'


class _Choice(msgspec.Struct):
    logprobs: msgspec.Raw = msgspec.Raw(_NULL)


class _Answer(msgspec.Struct):
    choices: list[_Choice]


_answer = msgspec.json.Decoder(_Answer)


_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _after_brace(inner: bytes = b"") -> bytes:
    """What follows a JSON object's first brace, as a pattern: texts, which may have braces in them,
    objects that have `inner` after theirs, and the last brace."""
    parts = _TEXT if not inner else _TEXT + rb"|\{" + inner
    return rb'[^{}"]*+(?:(?:' + parts + rb')[^{}"]*+)*+\}'


# As deep as log-probabilities go: the object, its tokens, and the other tokens of each. The pattern
# begins at the brace: one character is looked for faster than a key.
_LOGPROBS = re.compile(
    rb'\{(?:(?<="logprobs":\{)|(?<="logprobs": \{))' + _after_brace(_after_brace(_after_brace()))
)


def without_logprobs(answer: bytes) -> bytes | None:
    """The answer without them; None where the bytes leave a doubt about what is to be cut.

    Raises:
        msgspec.DecodeError: it is no JSON, or no answer.
    """
    values = [bytes(choice.logprobs) for choice in _answer.decode(answer).choices]
    if answer.count(_KEY) != len(values):
        return None
    kept, start = [], 0
    for value in values:
        begin = answer.find(_KEY, start) + len(_KEY)
        begin += answer.startswith(b" ", begin)
        if not answer.startswith(value, begin):
            return None
        kept.append(answer[start:begin])
        start = begin + len(value)
    kept.append(answer[start:])
    return _NULL.join(kept)


def events_without_logprobs(events: bytes) -> bytes | None:
    """Many events of a stream without them, in one go and undecoded; None where one has them in
    a shape that is not known here."""
    cut, known = _LOGPROBS.subn(_NULL, events)
    keys = cut.count(_KEY)
    if known != keys:  # some were null before
        known = cut.count(b'"logprobs":null') + cut.count(b'"logprobs": null')
    return cut if known == keys else None
