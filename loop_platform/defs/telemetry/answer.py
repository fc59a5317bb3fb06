"""What an engine answered: the text, why it stopped, how sure it was. From JSON and from streams.

Only the first choice is read. What cannot be read (an error page, a stream cut in a chunk) gives
nothing rather than an error: the raw response stays in the table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

Object = Mapping[str, Any]


@dataclass
class Answer:
    """The first choice of a response."""

    text: str | None = None
    finish_reason: str | None = None
    logprobs: list[float] = field(default_factory=list)
    """One a token, where the engine gave them."""

    @property
    def mean_logprob(self) -> float | None:
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else None

    @property
    def min_logprob(self) -> float | None:
        return min(self.logprobs, default=None)


def read_answer(response: str) -> Answer:
    """The answer in a response's body, which is a JSON object or the text of an event stream."""
    answer = Answer()
    calls: dict[int, dict[str, str]] = {}
    for payload in payloads(response):
        for choice in _objects(payload.get("choices")):
            if choice.get("index", 0) == 0:
                _add(answer, calls, choice)
    if calls and not answer.text:
        answer.text = msgspec.json.encode(list(calls.values())).decode()
    return answer


def payloads(response: str) -> Iterator[Object]:
    """The JSON objects of a response's body: one, or one an event of a stream."""
    if response.lstrip().startswith("{"):
        yield from _decoded(response)
        return
    for line in response.split("\n"):  # not `splitlines`: U+2028 and others may stand in an answer
        if line.startswith("data:"):
            yield from _decoded(line.removeprefix("data:").strip())


def _decoded(text: str) -> Iterator[Object]:
    try:
        payload = msgspec.json.decode(text)
    except msgspec.DecodeError:  # `[DONE]`, or cut
        return
    if isinstance(payload, dict):
        yield payload


def _add(answer: Answer, calls: dict[int, dict[str, str]], choice: Object) -> None:
    """One choice: of a whole response, or the next piece of it."""
    said = choice.get("message") or choice.get("delta") or choice
    text = said.get("content") if said is not choice else choice.get("text")
    if isinstance(text, str):
        answer.text = (answer.text or "") + text
    for place, call in enumerate(_objects(said.get("tool_calls"))):
        named = calls.setdefault(call.get("index", place), {"name": "", "arguments": ""})
        function = call.get("function") or {}
        for part in named:
            named[part] += function.get(part) or ""
    answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
    answer.logprobs.extend(_logprobs(choice.get("logprobs")))


def _logprobs(given: object) -> Iterator[float]:
    """Of chat, a list of tokens; of completions, a list of numbers, null for the prompt's first."""
    if not isinstance(given, dict):
        return
    tokens = [token.get("logprob") for token in _objects(given.get("content"))]
    numbers = given.get("token_logprobs")
    for value in tokens + (numbers if isinstance(numbers, list) else []):
        if isinstance(value, int | float):
            yield float(value)


def _objects(given: object) -> list[dict[str, Any]]:
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
