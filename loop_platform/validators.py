"""Task validators: what says whether an answer did its task.

A validator is named in the settings, per task:

    [validators]
    home_assistant = "http://127.0.0.1:8790/score"    # an HTTP hook
    sql            = "my_company.validators:sql"      # a function

A function takes `(request, answer)`, the request's JSON body as a dict and the answer's text, and
returns a score from 0 (failed) to 1 (succeeded), or None where it cannot tell. A hook gets
`{"request": …, "answer": …}` by POST and answers `{"score": 0 … 1 | null}`.

The tasks of drills (loop_platform/drilling/) have validators of their own.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import httpx

from loop_platform.drilling.names import IMPROVED, KEPT

Request = Mapping[str, Any]

_OF_DRILLS = {
    IMPROVED: "loop_platform.drilling.judge:improves",
    KEPT: "loop_platform.drilling.judge:keeps",
}


class Validator(Protocol):
    """Scores an answer to a request."""

    def __call__(self, request: Request, answer: str) -> float | None: ...


class ValidatorError(RuntimeError):
    """A validator that cannot be found or does not keep to its contract."""


def validators(named: Mapping[str, str]) -> dict[str, Validator]:
    """The validators of the settings, by task, and those of drills.

    Raises:
        ValidatorError: one is neither `module:function` nor a URL, or its function is missing.
    """
    return {task: _load(task, name) for task, name in (_OF_DRILLS | dict(named)).items()}


def _load(task: str, name: str) -> Validator:
    if name.startswith(("http://", "https://")):
        return _hook(task, name)
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValidatorError(
            f"validator of task {task!r} is {name!r}: write `module:function` or an HTTP URL"
        )
    try:
        function: Callable[[Request, str], float | None] = getattr(
            importlib.import_module(module), attribute
        )
    except (ImportError, AttributeError) as error:
        raise ValidatorError(f"validator {name!r} of task {task!r} is missing: {error}") from error

    def validate(request: Request, answer: str) -> float | None:
        return _checked(task, function(request, answer))

    return validate


def _hook(task: str, url: str) -> Validator:
    client = httpx.Client(timeout=10.0)

    def validate(request: Request, answer: str) -> float | None:
        try:
            response = client.post(url, json={"request": request, "answer": answer})
            response.raise_for_status()
            score = response.json()["score"]
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            raise ValidatorError(f"validator {url} of task {task!r} failed: {error}") from error
        return _checked(task, score)

    return validate


def _checked(task: str, score: object) -> float | None:
    if score is None:
        return None
    if not isinstance(score, bool | int | float) or not 0 <= score <= 1:
        raise ValidatorError(f"validator of {task!r} gave {score!r}: a score is 0 to 1, or None")
    return float(score)
