"""Commands sampled from the grammar: one template at a time, expanded at random, parsed again.

A sample is kept when the product's parser reads the intent that it came from and every slot that
was put in. The sentences are sampled from a real grammar; they are not logs of real users.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    TextChunk,
)
from hassil.intents import RangeSlotList, TextSlotList, WildcardSlotList
from hassil.util import check_excluded_context, check_required_context

from home_assistant import home
from home_assistant.grammar import Gold, Product, Template, answer_text

_SPACES = re.compile(r"\s+")
_TRIES = 300


@dataclass(frozen=True)
class Command:
    """A sentence that somebody says, and what the product understands by it."""

    text: str
    intent: str
    template: str
    gold: Gold

    @property
    def answer(self) -> str:
        return answer_text(self.gold)


class NoWordError(LookupError):
    """A template that nothing in this home fits."""


@dataclass
class _Expansion:
    """One random way through a template."""

    product: Product
    template: Template
    chance: random.Random
    picked: dict[str, object] = field(default_factory=dict)

    def text(self) -> str:
        raw = self._expand(self.template.sentence.expression)
        return _SPACES.sub(" ", raw).strip()

    def _expand(self, expression: Expression) -> str:
        match expression:
            case TextChunk():
                return expression.original_text
            case ListReference():
                return self._word(expression)
            case RuleReference():
                return self._expand(self._rule(expression.rule_name))
            case Alternative():
                return self._expand(self.chance.choice(expression.items))
            case Permutation():
                items = self.chance.sample(expression.items, len(expression.items))
                return " ".join(self._expand(item) for item in items)
            case Group():
                return "".join(self._expand(item) for item in expression.items)
        raise TypeError(f"the grammar has a {type(expression).__name__}, which is new to us")

    def _rule(self, name: str) -> Expression:
        own = self.template.block.expansion_rules
        rules = own if name in own else self.product.intents.expansion_rules
        return rules[name].expression

    def _word(self, reference: ListReference) -> str:
        own = self.template.block.slot_lists
        name = reference.list_name
        words = own[name] if name in own else self.product.lists[name]
        if isinstance(words, RangeSlotList):
            number = self.chance.randrange(words.start, words.stop + 1, words.step)
            self.picked[reference.slot_name] = number
            return str(number)
        if isinstance(words, WildcardSlotList):
            word = self.chance.choice(home.OPEN_WORDS[name])
            self.picked[reference.slot_name] = word
            return word
        assert isinstance(words, TextSlotList)
        return self._listed(words, reference.slot_name)

    def _listed(self, words: TextSlotList, slot: str) -> str:
        fitting = [value for value in words.values if self._fits(value.context or {}, slot)]
        if not fitting:
            raise NoWordError(self.template.place)
        value = self.chance.choice(fitting)
        self.picked[slot] = value.value_out
        return self._expand(value.text_in)

    def _fits(self, context: dict[str, str], slot: str) -> bool:
        if slot != "name":
            return True
        required = self.template.block.requires_context or {}
        excluded = self.template.block.excludes_context or {}
        return (
            check_required_context(required, context)
            and check_excluded_context(excluded, context)
            and ("domain" in required or home.suits(self.template.intent, context["domain"]))
        )


def sample(
    product: Product,
    template: Template,
    chance: random.Random,
    wanted: Callable[[str], bool] = bool,
) -> Command | None:
    """One command of `template`, or None where this expansion is no clean or no wanted one."""
    expansion = _Expansion(product, template, chance)
    try:
        text = expansion.text()
    except NoWordError:
        return None
    if not wanted(text):
        return None
    gold = product.parse(text)
    if gold is None or gold["intent"] != template.intent:
        return None
    if any(gold["slots"].get(slot) != value for slot, value in expansion.picked.items()):
        return None
    if "name" in expansion.picked and not _apart(str(expansion.picked["name"]), text):
        return None
    return Command(text, template.intent, template.place, gold)


def _apart(name: str, text: str) -> bool:
    """Whether the device's name is a word of its own: one template glues "to base" to it."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def commands(
    product: Product,
    templates: Sequence[Template],
    chance: random.Random,
    wanted: Callable[[str], bool],
    fits: Callable[[Command], bool],
) -> Iterator[Command]:
    """Distinct commands, in turn over the intents and at random over their templates.

    An intent drops out once it has nothing new to say. `wanted` looks at a text before it is
    parsed, `fits` at what is left.
    """
    by_intent: dict[str, list[Template]] = {}
    for template in templates:
        by_intent.setdefault(template.intent, []).append(template)
    said: set[str] = set()

    def new(text: str) -> bool:
        return text not in said and wanted(text)

    while by_intent:
        for intent in chance.sample(sorted(by_intent), len(by_intent)):
            tries = (chance.choice(by_intent[intent]) for _ in range(_TRIES))
            drafts = (sample(product, template, chance, new) for template in tries)
            command = next((draft for draft in drafts if draft is not None and fits(draft)), None)
            if command is None:
                del by_intent[intent]
                continue
            said.add(command.text)
            yield command
