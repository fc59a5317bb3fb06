"""Are two texts the same, or nearly? By hashes of what is left of them without form, and by how
many short pieces they share.

The second measure is the resemblance of Broder, "On the resemblance and containment of documents"
(1997): the pieces that two texts share, over all the pieces of both. The pieces are five
characters long, as Leskovec, Rajaraman and Ullman advise for short texts ("Mining of Massive
Datasets", 3.2). They estimate it by MinHash, for millions of texts; some thousands are counted.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NEAR = 0.8
"""From here on two texts are near-duplicates; the limit of Lee et al., "Deduplicating Training Data
Makes Language Models Better" (ACL 2022). One word of seven letters changed is below it in texts of
up to 90 characters, one letter in texts of up to 40: short commands with another room differ."""

_PIECE = 5
# At the edge of a word only: 5.5 is not 55, and C++ not C#.
_PUNCTUATION = re.compile(r"""(?<!\w)[.,;:!?…"“”„«»'‘’`]+|[.,;:!?…"“”„«»'‘’`]+(?!\w)""")


def normalised(text: str) -> str:
    """Without what is form alone: case, blanks, punctuation around words, Unicode's variants."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_PUNCTUATION.sub(" ", folded).split()) or " ".join(folded.split())


def fingerprint(text: str) -> str:
    """SHA-256 of the normalised text, in hexadecimal digits."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()


def digest(texts: Iterable[str]) -> str:
    """One SHA-256 for a set of texts, whatever their order."""
    prints = sorted({fingerprint(text) for text in texts})
    return hashlib.sha256("\n".join(prints).encode()).hexdigest()


@dataclass(frozen=True)
class Nearest:
    """The text of a collection that resembles another most."""

    at: int
    """Its place in the collection."""
    resemblance: float
    """Between 0 and 1, the same text."""


class Collection:
    """Texts, to find in them what resembles others."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._pieces = [_pieces(text) for text in texts]

    def __len__(self) -> int:
        return len(self._pieces)

    def nearest(self, text: str) -> Nearest | None:
        """The first of those that resemble `text` most; None of an empty collection."""
        wanted = _pieces(text)
        best: Nearest | None = None
        for at, pieces in enumerate(self._pieces):
            # No text resembles another by more than the smaller over the larger.
            least = 0.0 if best is None else best.resemblance
            if best is not None and _most(pieces, wanted) <= least:
                continue
            found = _resemblance(pieces, wanted)
            if best is None or found > least:
                best = Nearest(at, found)
        return best

    def near(self, text: str, limit: float = NEAR) -> list[int]:
        """The places of those that resemble `text` by at least `limit`."""
        wanted = _pieces(text)
        return [
            at
            for at, pieces in enumerate(self._pieces)
            if _most(pieces, wanted) >= limit and _resemblance(pieces, wanted) >= limit
        ]


def resemblance(one: str, other: str) -> float:
    """Of two texts, between 0 and 1."""
    return _resemblance(_pieces(one), _pieces(other))


def crossing(some: Sequence[str], others: Collection) -> set[int]:
    """The places in `some` of texts that are near-duplicates of any of the `others`."""
    return {at for at, text in enumerate(some) if others.near(text)}


def _pieces(text: str) -> frozenset[str]:
    """Its pieces; blanks around it make its ends count as much as its middle."""
    margin = " " * (_PIECE - 1)
    framed = f"{margin}{normalised(text)}{margin}"
    return frozenset(framed[at : at + _PIECE] for at in range(len(framed) - _PIECE + 1))


def _most(one: frozenset[str], other: frozenset[str]) -> float:
    return min(len(one), len(other)) / max(len(one), len(other))


def _resemblance(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
