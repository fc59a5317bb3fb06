"""`python -m traffic.recognition WHEEL SENTENCES`, in the redactor's environment: what of the
labelled set is found, and what it costs. A line of JSON.
"""

import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from loop_platform.personal_data import bodies
from loop_platform.personal_data.kinds import KINDS, LEFT
from loop_platform.personal_data.recognisers import Recognisers, Span
from loop_platform.personal_data.worker import pipeline
from traffic.people import People, Sentence

LEAST_SCORE = 0.4
LENGTHS = (100, 1_000, 10_000, 50_000)
"""Characters of a call's text."""
_TIMES = 5

SETTINGS = {
    "default": frozenset(kind for kind in KINDS if kind not in LEFT),
    "all": frozenset(KINDS),
}


def main() -> None:
    people = People(Path(sys.argv[1]))
    sentences = list(people.sentences(int(sys.argv[2])))
    began = time.process_time()
    recognisers = Recognisers(pipeline(), LEAST_SCORE)
    loaded = time.process_time() - began
    found = {name: _quality(recognisers, sentences, kinds) for name, kinds in SETTINGS.items()}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {
        "sentences": len(sentences),
        "quality": found,
        "cpu_ms_by_characters": dict(_costs(recognisers, people)),
        "load_s": round(loaded, 2),
        "memory_mb": round(memory),
    }
    print(json.dumps(figures))


def _quality(
    recognisers: Recognisers, sentences: Sequence[Sentence], kinds: frozenset[str]
) -> dict[str, dict[str, list[int]]]:
    """Counts, of how many. `gone`: every letter and digit of a label is replaced; `seen`: some
    are; `right`: by kind, the share of what was replaced that has a label under it."""
    labels, gone, seen = Counter[str](), Counter[str](), Counter[str]()
    replaced, right = Counter[str](), Counter[str]()
    for sentence in sentences:
        spans = list(recognisers.find(sentence.text, kinds))
        covered = {place for span in spans for place in range(span.start, span.end)}
        for label in sentence.labels:
            letters = [
                place for place in range(label.start, label.end) if sentence.text[place].isalnum()
            ]
            labels[label.kind] += 1
            gone[label.kind] += all(place in covered for place in letters)
            seen[label.kind] += any(place in covered for place in letters)
        for span in spans:
            replaced[span.kind] += 1
            right[span.kind] += _labelled(span, sentence)
    return {
        "gone": {kind: [gone[kind], count] for kind, count in labels.items()},
        "seen": {kind: [seen[kind], count] for kind, count in labels.items()},
        "right": {kind: [right[kind], count] for kind, count in replaced.items()},
    }


def _labelled(span: Span, sentence: Sentence) -> bool:
    return any(span.start < label.end and label.start < span.end for label in sentence.labels)


def _costs(recognisers: Recognisers, people: People) -> Iterator[tuple[int, float]]:
    """Of a request and its answer with so many characters together, none seen before: the pieces
    that a conversation repeats are remembered and cost next to nothing."""
    kinds = SETTINGS["default"]
    sentences = people.sentences(10**9, seed=99)
    for length in LENGTHS:
        texts = [_text(sentences, length) for _ in range(_TIMES)]
        taken = []
        for text in texts:
            body = json.dumps({"messages": [{"role": "user", "content": text}]})
            began = time.process_time()
            bodies.body(body, lambda said, about: _masked(recognisers, kinds, said, about))
            taken.append((time.process_time() - began) * 1000)
        yield length, round(sorted(taken)[_TIMES // 2], 1)


def _text(sentences: Iterator[Sentence], length: int) -> str:
    pieces: list[str] = []
    while sum(map(len, pieces)) < length:
        pieces += [sentence.text for sentence in islice(sentences, 1)]
    return "\n".join(pieces)[:length]


def _masked(recognisers: Recognisers, kinds: frozenset[str], text: str, about: str) -> str:
    pieces, last = [], 0
    for span in recognisers.find(text, kinds, about):
        pieces += [text[last : span.start], f"<{span.kind}>"]
        last = span.end
    return "".join([*pieces, text[last:]])


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
