"""Two answers to one request, and what a judge says of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

Verdict = Literal["one", "other", "tie"]
VERDICTS: tuple[Verdict, ...] = ("one", "other", "tie")

_OPPOSITE: Mapping[Verdict, Verdict] = {"one": "other", "other": "one", "tie": "tie"}


@dataclass(frozen=True)
class Contest:
    """What a judge sees. Which side gave which answer it is not told."""

    subject: str
    """What it is about, for whoever asked: no judge learns anything from it."""
    messages: Sequence[Mapping[str, Any]]
    one: str
    other: str

    def turned(self) -> "Contest":
        """The answers in each other's place."""
        return replace(self, one=self.other, other=self.one)

    def blind(self) -> tuple["Contest", bool]:
        """The answers in the order of a coin, and whether they changed places.

        The coin is the subject's: asked again, a contest looks as it did.
        """
        turned = hashlib.sha256(f"coin {self.subject}".encode()).digest()[0] % 2 == 1
        return (self.turned() if turned else self), turned


@dataclass(frozen=True)
class Ruling:
    """What a judge said of a contest, or why it said nothing."""

    verdict: Verdict | None
    problem: str | None = None
    asked: bool = True
    """Whether it was heard. What a judge was not asked, or could not answer because nobody was
    there, can be asked again; what it answered stands, though it be no verdict."""

    def turned(self) -> "Ruling":
        """The same of the contest with its answers in each other's place."""
        return self if self.verdict is None else replace(self, verdict=_OPPOSITE[self.verdict])


class Judge(Protocol):
    """Says of each contest which answer is better."""

    @property
    def identity(self) -> str:
        """All that shapes its verdicts: another identity is another judge, not yet calibrated."""
        ...

    def judge(self, contests: Sequence[Contest]) -> list[Ruling]:
        """A ruling a contest, in their order. Trouble is a ruling without a verdict, no error."""
        ...


def ask(judge: Judge, contests: Sequence[Contest]) -> list[Ruling]:
    """The rulings, each contest shown in the order of a coin.

    Raises:
        ValueError: the judge did not answer every contest.
    """
    shown = [contest.blind() for contest in contests]
    said = judge.judge([contest for contest, _ in shown])
    if len(said) != len(contests):
        raise ValueError(f"the judge gave {len(said)} rulings of {len(contests)} contests")
    return [
        ruling.turned() if turned else ruling
        for ruling, (_, turned) in zip(said, shown, strict=True)
    ]
