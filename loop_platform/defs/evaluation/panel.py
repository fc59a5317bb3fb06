"""Asks champion and candidate what an evaluation asks, and scores what they say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loop_platform.chat import Body, Reply
from loop_platform.defs.evaluation.comparison import Comparison
from loop_platform.defs.evaluation.interview import Side, check_answered, interview, questions
from loop_platform.defs.evaluation.part import Part
from loop_platform.defs.evaluation.scoring import Correction, safe, succeeds
from loop_platform.defs.evaluation.words import AGREES, again, kept
from loop_platform.defs.evaluation.yardstick import Yardstick, bodies
from loop_platform.embedder import Embedder
from loop_platform.validators import Validator

_FEWEST_TOKENS = 64
_CORRECTIONS, _EARLIER = "corrections", "earlier corrections"
_GENERAL, _LIKENESS, _SAFETY = "retention", "likeness", "safety"


@dataclass(frozen=True)
class Papers:
    """What is asked: corrections that were held out, of this cycle and of earlier ones, and the
    suites, which the champion has answered."""

    corrections: Sequence[Correction]
    earlier: Sequence[Correction]
    general: Yardstick
    safety: Yardstick


@dataclass(frozen=True)
class Panel:
    """Both sides, and what it takes to score them."""

    both: Comparison
    embedder: Embedder
    validators: Mapping[str, Validator]

    def parts(self, papers: Papers) -> tuple[Part, Part, Part, Part]:
        """Corrections, earlier corrections, general prompts and safety prompts, asked and scored.

        Raises:
            EngineTroubleError: a question to the champion found no answer.
        """
        corrected = {
            _CORRECTIONS: _corrections(papers.corrections),
            _EARLIER: _corrections(papers.earlier),
        }
        suites = {
            _LIKENESS: again(bodies(papers.general.prompts), papers.general.said),
            _GENERAL: bodies(papers.general.prompts),
            _SAFETY: bodies(papers.safety.prompts),
        }
        old, new = interview(
            Side(self.both.ask_champion, corrected),
            Side(self.both.ask_candidate, corrected | suites),
        )
        for replies in old.values():
            check_answered(replies, self.both.champion.release)
        return (
            self._corrected(_CORRECTIONS, papers.corrections, old, new),
            self._corrected(_EARLIER, papers.earlier, old, new),
            _general(papers.general, new),
            self._safe(papers.safety, new),
        )

    def _corrected(
        self,
        name: str,
        corrections: Sequence[Correction],
        old: Mapping[str, list[Reply]],
        new: Mapping[str, list[Reply]],
    ) -> Part:
        """Success on held-out corrections."""
        return Part(
            name,
            labels=[correction.task for correction in corrections],
            prompts=[correction.messages[-1]["content"] for correction in corrections],
            champion=old[name],
            candidate=new[name],
            champion_wins=self._successes(corrections, old[name]),
            candidate_wins=self._successes(corrections, new[name]),
        )

    def _successes(self, corrections: Sequence[Correction], replies: Sequence[Reply]) -> list[bool]:
        return [
            succeeds(correction, reply.text, self.validators)
            for correction, reply in zip(corrections, replies, strict=True)
        ]

    def _safe(self, suite: Yardstick, new: Mapping[str, list[Reply]]) -> Part:
        """Harmful requests declined or not served, harmless ones not declined."""
        texts = [reply.text for reply in new[_SAFETY]]
        return _of_suite(
            _SAFETY,
            suite,
            new[_SAFETY],
            champion_wins=safe(self.embedder, suite.prompts, suite.texts),
            candidate_wins=safe(self.embedder, suite.prompts, texts),
        )


def _corrections(corrections: Sequence[Correction]) -> list[Body]:
    longest = max((len(correction.chosen) for correction in corrections), default=0)
    tokens = max(_FEWEST_TOKENS, math.ceil(longest / 2))
    return questions([correction.messages for correction in corrections], tokens)


def _general(suite: Yardstick, new: Mapping[str, list[Reply]]) -> Part:
    """Agreement with the champion, word by word; its agreement with itself is the yardstick."""
    shared = kept(suite.said, new[_LIKENESS])
    return _of_suite(
        _GENERAL,
        suite,
        new[_GENERAL],
        champion_wins=[share >= AGREES for share in suite.itself],
        candidate_wins=[share >= AGREES for share in shared],
        words_kept={"champion itself": _mean(suite.itself), "candidate": _mean(shared)},
    )


def _of_suite(
    name: str,
    suite: Yardstick,
    candidate: Sequence[Reply],
    *,
    champion_wins: Sequence[bool],
    candidate_wins: Sequence[bool],
    **figures: object,
) -> Part:
    return Part(
        name,
        labels=[prompt.category for prompt in suite.prompts],
        prompts=[prompt.prompt for prompt in suite.prompts],
        champion=suite.said,
        candidate=candidate,
        champion_wins=champion_wins,
        candidate_wins=candidate_wins,
        known=suite.known,
        figures=figures,
    )


def _mean(shares: Sequence[float]) -> float | None:
    return sum(shares) / len(shares) if shares else None
