"""Finds personal data in a text: Presidio's recognisers, over spaCy's English pipeline.

Nothing is fetched: the pipeline and the list of top-level domains are files on this machine.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine

_LONGEST = 5_000
"""Characters that are looked through at once; longer texts are cut where a line or a word ends."""
_REMEMBERED = 4096
"""Texts: a conversation's next request has all of the last one in it."""

_PIPES_UNUSED = ("parser", "senter")


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data in a text."""

    start: int
    end: int
    kind: str


class Recognisers:
    def __init__(self, pipeline: Path, least_score: float) -> None:
        tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(
            suffix_list_urls=(), cache_dir=None
        )
        engine = SpacyNlpEngine([{"lang_code": "en", "model_name": str(pipeline)}])
        engine.load()
        for name in _PIPES_UNUSED:
            if name in engine.nlp["en"].pipe_names:
                engine.nlp["en"].disable_pipe(name)
        registry = RecognizerRegistry(supported_languages=["en"])
        registry.load_predefined_recognizers(languages=["en"], nlp_engine=engine)
        self._analyser = AnalyzerEngine(
            registry=registry, nlp_engine=engine, default_score_threshold=least_score
        )
        self.kinds = frozenset(self._analyser.get_supported_entities("en"))
        self._found = functools.lru_cache(_REMEMBERED)(self._look)

    def find(self, text: str, kinds: frozenset[str], about: str = "") -> Iterator[Span]:
        """Personal data of these kinds, in order, none over another. `about` is what the text is
        said to be, the name of its field."""
        for start, piece in pieces(text):
            for span in self._found(piece, kinds, about):
                yield Span(start + span.start, start + span.end, span.kind)

    def _look(self, text: str, kinds: frozenset[str], about: str) -> Sequence[Span]:
        results = self._analyser.analyze(
            text, language="en", entities=sorted(kinds), context=[about] if about else None
        )
        results.sort(key=lambda one: (-one.score, one.start - one.end))
        return apart(Span(one.start, one.end, one.entity_type) for one in results)


def apart(spans: Iterable[Span]) -> list[Span]:
    """In order of place. Where two overlap, the first that was given names what both cover."""
    kept: list[Span] = []
    for span in spans:
        over = [one for one in kept if one.start < span.end and span.start < one.end]
        start = min(one.start for one in (span, *over))
        end = max(one.end for one in (span, *over))
        kept = [one for one in kept if one not in over]
        kept.append(Span(start, end, (*over, span)[0].kind))
    return sorted(kept, key=lambda one: one.start)


def pieces(text: str, longest: int = _LONGEST) -> Iterator[tuple[int, str]]:
    """The text in pieces that can be looked through, each with its place."""
    start = 0
    while len(text) - start > longest:
        end = max(text.rfind(mark, start + longest // 2, start + longest) for mark in "\n ")
        end = start + longest if end < 0 else end + 1
        yield start, text[start:end]
        start = end
    yield start, text[start:]
