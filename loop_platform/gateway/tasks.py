"""The task of a call by the name of the model that it asks for, as the settings rule."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

_WILD = frozenset("*?[")


def task_of(model: str, rules: Mapping[str, str]) -> str | None:
    """The task that the rules give to a model's name, if they know it.

    A rule names one model, or a pattern of names (`gpt-4*`, as file names are matched); the exact
    name wins, then the first pattern that matches.
    """
    if not rules:
        return None
    exact = rules.get(model)
    if exact is not None:
        return exact
    for pattern, task in rules.items():
        if not _WILD.isdisjoint(pattern) and fnmatchcase(model, pattern):
            return task
    return None


def listed(rules: Mapping[str, str]) -> tuple[str, ...]:
    """The names among the rules: a pattern is none that a caller could ask for."""
    return tuple(name for name in rules if _WILD.isdisjoint(name))
