"""The kinds of judges, one file each; a new file here is a new kind, nothing is registered.

A file holds `judge(settings, rubric) -> Judge`: `settings` is the judge's table in the settings
without its `kind`, for the file to check, and the rubric is the task's. The file's name is the
kind. `loop_platform/judging/contest.py` says what a judge is asked and answers.
"""

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loop_platform.judging.contest import Contest, Judge, Ruling, ask
from loop_platform.settings import JudgingSettings


class UnknownJudgeError(LookupError):
    """A judge that the settings name and that cannot be made."""


@dataclass(frozen=True)
class TaskJudge:
    """A judge of the settings, with a task's rubric."""

    name: str
    task: str
    identity: str
    """A hash of its kind and of all that shapes its verdicts."""
    judge: Judge

    def rule(self, contests: Sequence[Contest]) -> list[Ruling]:
        return ask(self.judge, contests)


def kinds() -> list[str]:
    """What there is, without importing it."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def judges(settings: JudgingSettings) -> dict[str, TaskJudge]:
    """The judge of every task that has one.

    Raises:
        UnknownJudgeError: there is no such kind.
        ValueError: a judge does not take its settings.
    """
    return {
        task: _made(each.judge, task, settings.judges[each.judge], each.rubric)
        for task, each in settings.tasks.items()
        if each.judge is not None
    }


def _made(name: str, task: str, settings: Mapping[str, Any], rubric: str) -> TaskJudge:
    kind = settings["kind"]
    own = {key: value for key, value in settings.items() if key != "kind"}
    made = _maker(name, kind)(own, rubric)
    shaping = json.dumps([kind, made.identity])
    return TaskJudge(name, task, hashlib.sha256(shaping.encode()).hexdigest()[:16], made)


def _maker(name: str, kind: str) -> Callable[[Mapping[str, Any], str], Judge]:
    if kind not in kinds():
        raise UnknownJudgeError(
            f"judging.judges.{name} is of the kind {kind!r}; there are: {', '.join(kinds())}"
        )
    module = importlib.import_module(f"{__name__}.{kind}")
    maker = getattr(module, "judge", None)
    if not callable(maker):
        raise UnknownJudgeError(
            f"{module.__file__} has no `judge(settings, rubric)`: {__name__} says what a judge is"
        )
    found: Callable[[Mapping[str, Any], str], Judge] = maker
    return found
