"""The product's sentence grammar, read from its package, and its parser.

The parser is the judge of the whole demo: what it reads in a sentence is the right answer, and
an answer that says the same is exact. Templates that take a slot from the place the speaker is in
(an area that the text does not name) are never matched, because no such place is given.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hassil.expression import Sentence
from hassil.intents import IntentData, Intents, SlotList, TextSlotList
from hassil.recognize import recognize_all, recognize_best

from home_assistant import home, sources

FIRST = "2024.3.29"
SECOND = "2024.7.29"

Gold = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """One sentence pattern of the grammar."""

    intent: str
    block: IntentData
    sentence: Sentence
    place: str
    """Where in the grammar: the template's name."""


class Product:
    """A release of the product: its grammar in one language, on the devices of the simulated home,
    which are called the same in any."""

    def __init__(self, version: str, language: str = "en") -> None:
        self.version = version
        path = f"home_assistant_intents/data/{language}.json"
        document = json.loads(sources.read("home-assistant-intents", version, path))
        self.intents = Intents.from_dict(document)
        self.lists: dict[str, SlotList] = {**self.intents.slot_lists, **_home_lists()}

    @cached_property
    def kinds(self) -> list[str]:
        """The intents: the kinds of command that this release understands."""
        return sorted(self.intents.intents)

    def templates(self) -> Iterator[Template]:
        """Every template that a person in this home could use."""
        classes = home.device_classes()
        for intent in self.intents.intents.values():
            for number, block in enumerate(intent.data):
                device_class = block.slots.get("device_class", "garage")
                if device_class != "garage" and device_class not in classes:
                    continue
                for position, sentence in enumerate(block.sentences):
                    place = f"{intent.name}/{number}/{position}"
                    yield Template(intent.name, block, sentence, place)

    @cached_property
    def _place_of(self) -> dict[int, str]:
        return {id(template.sentence): template.place for template in self.templates()}

    def places(self, text: str) -> set[str]:
        """Every template that `text` can be read as."""
        found = recognize_all(text, self.intents, slot_lists=self.lists)
        return {self._place_of.get(id(result.intent_sentence), "") for result in found}

    def parse(self, text: str) -> Gold | None:
        """What the product understands: `{"intent": …, "slots": {…}}`, or None."""
        found = recognize_best(text, self.intents, slot_lists=self.lists, best_slot_name="name")
        if found is None:
            return None
        slots = {name: _plain(entity.value) for name, entity in sorted(found.entities.items())}
        return {"intent": found.intent.name, "slots": slots}


def answer_text(gold: Gold) -> str:
    """The one right spelling of an answer: keys in order, ", " and ": " between."""
    return json.dumps({"intent": gold["intent"], "slots": dict(sorted(gold["slots"].items()))})


def exact(gold: Gold, answer: str) -> bool:
    """Whether `answer` is one JSON object that says what the product understood."""
    try:
        said = json.loads(answer)
    except ValueError:
        return False
    return isinstance(said, dict) and said == gold


def _plain(value: Any) -> Any:  # noqa: ANN401 - a slot's value is any JSON scalar
    if isinstance(value, str):
        return value.strip()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _home_lists() -> dict[str, SlotList]:
    names = [(device.name, device.name, device.context) for device in home.DEVICES]
    return {
        "name": TextSlotList.from_tuples(names, name="name", allow_template=False),
        "area": TextSlotList.from_strings(home.AREAS, name="area", allow_template=False),
        "floor": TextSlotList.from_strings(home.FLOORS, name="floor", allow_template=False),
    }
