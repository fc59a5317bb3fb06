"""General chat: prompts of chatterbot-corpus, by category.

What users chat about and what retention is measured on share no category.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from home_assistant import sources

TRAFFIC = ("trivia", "ai", "coding", "emotion", "conversations", "botprofile", "tech_support")
RETENTION = (
    "science",
    "literature",
    "movies",
    "sports",
    "money",
    "politics",
    "food",
    "history",
    "psychology",
    "computers",
)
_LENGTHS = range(12, 120)


@dataclass(frozen=True)
class Prompt:
    text: str
    category: str


def prompts(categories: Sequence[str]) -> list[Prompt]:
    """The distinct opening lines of each category, none of which is in an earlier one."""
    found: dict[str, Prompt] = {}
    for category in categories:
        for text in _openings(category):
            found.setdefault(text.lower(), Prompt(text, category))
    return list(found.values())


def traffic(chance: random.Random, n: int) -> list[Prompt]:
    """`n` prompts that users chat with: distinct ones, as long as there are any."""
    every = prompts(TRAFFIC)
    chance.shuffle(every)
    return [every[number % len(every)] for number in range(n)]


def retention() -> list[Prompt]:
    """What general chat is judged on."""
    chatted = {prompt.text.lower() for prompt in prompts(TRAFFIC)}
    return [prompt for prompt in prompts(RETENTION) if prompt.text.lower() not in chatted]


def _openings(category: str) -> list[str]:
    path = f"chatterbot_corpus/data/english/{category}.yml"
    document = yaml.safe_load(sources.read("chatterbot-corpus", "1.3.3", path))
    lines = (
        conversation[0]
        for conversation in document["conversations"]
        if isinstance(conversation, list) and isinstance(conversation[0], str)
    )
    return [line.strip() for line in lines if len(line.strip()) in _LENGTHS]
