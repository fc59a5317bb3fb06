"""The commands of one product release, split: what users say, and what success is measured on.

Held out are whole templates (unseen in training), and of every other template the sentences on one
side of a hash (seen template, new sentence). Two sentences that differ in articles alone are one.
"""

import hashlib
import itertools
import random
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from home_assistant.grammar import FIRST, SECOND, Product, Template
from home_assistant.sampling import Command, commands, sample

_ARTICLES = re.compile(r"\b(the|a|an|all|my|every|of)\b")
_UNSEEN_SHARE = 0.18
_MIN_TEMPLATES = 4
"""An intent with fewer templates than this keeps them all in training."""


@dataclass(frozen=True)
class Corpus:
    """Distinct commands; no text of one list is in another."""

    traffic: list[Command]
    heldout_seen: list[Command]
    heldout_unseen: list[Command]

    @property
    def heldout(self) -> list[Command]:
        return self.heldout_seen + self.heldout_unseen


def first_release(seed: int, traffic: int, seen: int, unseen: int) -> Corpus:
    """The 16 kinds of command of the first product release."""
    return _corpus(Product(FIRST), None, seed, (traffic, seen, unseen))


def second_release(seed: int, traffic: int, seen: int, unseen: int) -> Corpus:
    """The kinds of command that the next product release added, and they alone."""
    product = Product(SECOND)
    added = sorted(set(product.kinds) - set(Product(FIRST).kinds))
    return _corpus(product, added, seed, (traffic, seen, unseen))


def release(version: str, known: Collection[str], seed: int, sizes: tuple[int, int, int]) -> Corpus:
    """The kinds of command that a dated release has and `known` does not; sizes of traffic, held
    out of seen and of unseen templates."""
    product = Product(version)
    added = sorted(set(product.kinds) - set(known))
    return _corpus(product, added, seed, sizes, later=product)


def in_language(version: str, language: str, seed: int, sizes: tuple[int, int, int]) -> Corpus:
    """All kinds of command of a dated release, in one of its languages; sizes as of `release`."""
    product = Product(version, language)
    return _corpus(product, None, seed, sizes, later=product)


def key(text: str) -> str:
    """What makes two sentences the same one."""
    return " ".join(_ARTICLES.sub(" ", text.lower()).split())


def _corpus(
    product: Product,
    kinds: list[str] | None,
    seed: int,
    sizes: tuple[int, int, int],
    later: Product | None = None,
) -> Corpus:
    chance = random.Random(seed)
    usable = [
        template
        for template in product.templates()
        if (kinds is None or template.intent in kinds) and _can_be_said(product, template, chance)
    ]
    apart = _held_out(usable, chance)
    traffic, seen, unseen = sizes
    trained = [template for template in usable if template.place not in apart]
    tested = [template for template in usable if template.place in apart]
    foreign = {template.place for template in trained}
    source = _Source(product, later or Product(SECOND), chance)
    return Corpus(
        traffic=source.take(trained, traffic, tested=False, foreign=apart),
        heldout_seen=source.take(trained, seen, tested=True, foreign=apart),
        heldout_unseen=source.take(tested, unseen, tested=True, foreign=foreign),
    )


@dataclass(frozen=True)
class _Source:
    product: Product
    later: Product
    chance: random.Random

    def take(
        self, templates: Sequence[Template], n: int, *, tested: bool, foreign: set[str]
    ) -> list[Command]:
        """`n` commands of `templates`, on one side of the hash, that no foreign template says."""
        keys: set[str] = set()

        def wanted(text: str) -> bool:
            return _tested(text) == tested and not (tested and key(text) in keys)

        def fits(command: Command) -> bool:
            if self.product.places(command.text) & foreign:
                return False
            if self.later.parse(command.text) != command.gold:
                return False
            keys.add(key(command.text))
            return True

        stream = commands(self.product, templates, self.chance, wanted, fits)
        return list(itertools.islice(stream, n))


def _tested(text: str) -> bool:
    """A quarter of all sentences are for tests alone."""
    return hashlib.sha256(key(text).encode()).digest()[0] < 64


def _can_be_said(product: Product, template: Template, chance: random.Random) -> bool:
    return any(sample(product, template, chance) is not None for _ in range(25))


def _held_out(templates: Sequence[Template], chance: random.Random) -> set[str]:
    by_intent: dict[str, list[str]] = defaultdict(list)
    for template in templates:
        by_intent[template.intent].append(template.place)
    chosen: set[str] = set()
    for places in by_intent.values():
        if len(places) >= _MIN_TEMPLATES:
            chosen.update(chance.sample(places, max(1, round(_UNSEEN_SHARE * len(places)))))
    return chosen
