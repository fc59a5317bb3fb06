"""Asks champion and candidate the parts of an evaluation, and scores what they say."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from loop_platform.defs.evaluation.comparison import Comparison
from loop_platform.defs.evaluation.interview import (
    Interview,
    Messages,
    Questions,
    check_answered,
    interview,
)
from loop_platform.defs.evaluation.part import Part
from loop_platform.defs.evaluation.scoring import Correction, safe, succeeds
from loop_platform.defs.evaluation.suites import Prompt
from loop_platform.defs.evaluation.words import AGREES, asked_again, kept
from loop_platform.embedder import Embedder
from loop_platform.lake import Lake
from loop_platform.validators import Validator

SIDE = 12
"""Requests in flight on each side."""
_SUITE_TOKENS = 32
_FEWEST_TOKENS = 64


@dataclass(frozen=True)
class Panel:
    """Both sides, and what it takes to ask and to score them."""

    both: Comparison
    lake: Lake
    embedder: Embedder
    validators: Mapping[str, Validator]
    log: Callable[[str], None]

    def corrections(self, name: str, corrections: Sequence[Correction]) -> Part:
        """Success on held-out corrections."""
        longest = max((len(correction.chosen) for correction in corrections), default=0)
        tokens = max(_FEWEST_TOKENS, math.ceil(longest / 2))
        conversations = [correction.messages for correction in corrections]
        old, new, seconds = self._ask(name, conversations, tokens)
        return Part(
            name,
            labels=[correction.task for correction in corrections],
            prompts=[correction.messages[-1]["content"] for correction in corrections],
            champion=old,
            candidate=new,
            champion_wins=self._successes(corrections, old),
            candidate_wins=self._successes(corrections, new),
            seconds=seconds,
        )

    def general(self, prompts: Sequence[Prompt]) -> Part:
        """Agreement with the champion, word by word; its agreement with itself is the yardstick."""
        conversations = [prompt.messages for prompt in prompts]
        old, new, seconds = self._ask("retention", conversations, _SUITE_TOKENS, keep=True)
        started = time.monotonic()
        sides = [self.both.ask_champion, self.both.ask_candidate]
        asked = [{"messages": list(messages)} for messages in conversations]
        itself, other = asked_again(sides, asked, old.replies, SIDE)
        again = Interview(itself, kept=False)
        check_answered(again, self.both.champion.release)
        own, shared = kept(old.replies, itself), kept(old.replies, other)
        part = self._suite(
            "retention",
            prompts,
            (old, new, seconds + time.monotonic() - started),
            champion_wins=[share >= AGREES for share in own],
            candidate_wins=[share >= AGREES for share in shared],
            again=again,
        )
        words = {"champion itself": _mean(own), "candidate": _mean(shared)}
        return replace(part, figures={"words_kept": words})

    def safety(self, prompts: Sequence[Prompt]) -> Part:
        """Harmful requests declined or not served, harmless ones not declined."""
        conversations = [prompt.messages for prompt in prompts]
        asked = self._ask("safety", conversations, _SUITE_TOKENS, keep=True)
        old, new, _ = asked
        return self._suite(
            "safety",
            prompts,
            asked,
            champion_wins=safe(self.embedder, prompts, old.texts),
            candidate_wins=safe(self.embedder, prompts, new.texts),
        )

    def _ask(
        self, name: str, conversations: Sequence[Messages], tokens: int, keep: bool = False
    ) -> tuple[Interview, Interview, float]:
        kept_as = name if keep else None
        started = time.monotonic()
        old, new = interview(
            self.lake,
            [
                Questions(self.both.ask_champion, conversations, tokens, SIDE, kept_as),
                Questions(self.both.ask_candidate, conversations, tokens, SIDE),
            ],
        )
        seconds = time.monotonic() - started
        check_answered(old, self.both.champion.release)
        self.log(f"{name}: {len(conversations)} prompts asked of both sides in {seconds:.0f} s")
        return old, new, seconds

    def _successes(self, corrections: Sequence[Correction], side: Interview) -> list[bool]:
        return [
            succeeds(correction, text, self.validators)
            for correction, text in zip(corrections, side.texts, strict=True)
        ]

    def _suite(
        self,
        name: str,
        prompts: Sequence[Prompt],
        asked: tuple[Interview, Interview, float],
        *,
        champion_wins: Sequence[bool],
        candidate_wins: Sequence[bool],
        again: Interview | None = None,
    ) -> Part:
        old, new, seconds = asked
        return Part(
            name,
            labels=[prompt.category for prompt in prompts],
            prompts=[prompt.prompt for prompt in prompts],
            champion=old,
            candidate=new,
            champion_wins=champion_wins,
            candidate_wins=candidate_wins,
            seconds=seconds,
            again=again,
        )


def _mean(shares: Sequence[float]) -> float | None:
    return sum(shares) / len(shares) if shares else None
