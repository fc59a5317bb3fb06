"""Training rows: a conversation and its answer as token ids, in the model's own chat template.

The prompt is encoded exactly as the server encodes it, and the answer by itself, because that is
where generation starts.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Answered = Literal["answer", "rejected"]
_ENDED: dict[Answered, str] = {"answer": "ended", "rejected": "rejected_ended"}
"""Where a line says that the answer was not cut."""


class RowRefusedError(ValueError):
    """A row that cannot be trained on; names its file and line."""

    def __init__(self, file: Path, line: int, reason: str) -> None:
        super().__init__(f"{file.name}, line {line}: {reason}")
        self.file, self.line, self.reason = file.name, line, reason

    def as_record(self) -> dict[str, object]:
        return {"file": self.file, "line": self.line, "reason": self.reason}


class NoRowError(RowRefusedError):
    """A line that is no row at all: the file is not what it should be, whatever else is in it."""


@dataclass(frozen=True)
class Row:
    """Token ids, of which those from `answer_from` on are the answer."""

    ids: tuple[int, ...]
    answer_from: int
    replay: bool
    """The champion's own answer: a divergence from the champion counts on it."""
    apart: bool = False
    """Never learnt from: shows how a state of the run does (loop_platform/engine/probe.py)."""
    earlier: bool = False
    """A correction that an earlier cycle trained on, rehearsed beside the new ones."""

    @property
    def answer_tokens(self) -> int:
        return len(self.ids) - self.answer_from


@dataclass(frozen=True)
class _Said:
    """What a line says."""

    messages: list[dict[str, str]]
    answer: str
    ended: bool
    apart: bool


def read(file: Path, tokenizer: Any, *, replay: bool, max_tokens: int) -> list[Row]:  # noqa: ANN401
    """The rows of a JSON-lines file of `{"messages": […], "answer": …, "ended"?: bool,
    "apart"?: bool}`.

    `ended` false says that the answer was cut by a token limit: no end of turn is learnt from it.
    `apart` says that nothing at all is.

    Raises:
        RowRefusedError: a line is no such object, is empty, is too long, or does not fit the chat
            template.
    """
    rows, refused = sift(file, tokenizer, replay=replay, max_tokens=max_tokens)
    if refused:
        raise refused[0]
    return rows


def sift(
    file: Path,
    tokenizer: Any,  # noqa: ANN401
    *,
    replay: bool,
    max_tokens: int,
) -> tuple[list[Row], list[RowRefusedError]]:
    """The rows that can be trained on, and why the others cannot.

    Raises:
        NoRowError: a line is no such object.
    """
    rows: list[Row] = []
    refused: list[RowRefusedError] = []
    for number, line in _lines(file):
        try:
            rows.append(_row(file, number, line, tokenizer, max_tokens, replay=replay))
        except NoRowError:
            raise
        except RowRefusedError as error:
            refused.append(error)
    return rows, refused


def sift_pairs(
    file: Path,
    tokenizer: Any,  # noqa: ANN401
    *,
    max_tokens: int,
) -> tuple[list[Row], list[Row], list[RowRefusedError]]:
    """Chosen rows, rejected rows and what was refused, of a JSON-lines file of
    `{"messages": […], "answer": …, "rejected": …, "rejected_ended"?: bool}`; a pair of which one is
    refused is no pair.

    Raises:
        NoRowError: a line is no such object.
    """
    chosen: list[Row] = []
    rejected: list[Row] = []
    refused: list[RowRefusedError] = []
    for number, line in _lines(file):
        try:
            one = _row(file, number, line, tokenizer, max_tokens)
            other = _row(file, number, line, tokenizer, max_tokens, answered="rejected")
        except NoRowError:
            raise
        except RowRefusedError as error:
            refused.append(error)
        else:
            chosen.append(one)
            rejected.append(other)
    return chosen, rejected, refused


def sift_thumbs(
    file: Path,
    tokenizer: Any,  # noqa: ANN401
    *,
    max_tokens: int,
) -> tuple[list[Row], list[Row], list[RowRefusedError]]:
    """Liked rows, disliked rows and what was refused, of a JSON-lines file of `{"messages": […],
    "answer": …, "liked": bool, "ended"?: bool}`.

    Raises:
        NoRowError: a line is no such object.
    """
    rows: dict[bool, list[Row]] = {True: [], False: []}
    refused: list[RowRefusedError] = []
    for number, line in _lines(file):
        try:
            row = _row(file, number, line, tokenizer, max_tokens)
            liked = json.loads(line).get("liked")
            if not isinstance(liked, bool):
                raise NoRowError(file, number, f'"liked" is {liked!r}, neither true nor false')
            rows[liked].append(row)
        except NoRowError:
            raise
        except RowRefusedError as error:
            refused.append(error)
    return rows[True], rows[False], refused


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line. JSON may hold characters that end a line for `splitlines`."""
    for number, line in enumerate(file.read_text().split("\n"), 1):
        if line.strip():
            yield number, line


def content_hash(*files: Path) -> str:
    """SHA-256 over the files' bytes: what a run was trained on."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _row(
    file: Path,
    number: int,
    line: str,
    tokenizer: Any,  # noqa: ANN401
    max_tokens: int,
    *,
    answered: Answered = "answer",
    replay: bool = False,
) -> Row:
    said = _parsed(file, number, line, answered)
    _check_words(file, number, said.answer, tokenizer)
    prompt, whole = _templated(file, number, tokenizer, said.messages, said.answer)
    if not whole.startswith(prompt):
        raise RowRefusedError(file, number, "the chat template does not put the answer last")
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    answer_ids = _answer_ids(tokenizer, whole[len(prompt) :], ended=said.ended)
    length = len(prompt_ids) + len(answer_ids)
    if length > max_tokens:
        raise RowRefusedError(file, number, f"{length} tokens; at most {max_tokens} are served")
    return Row((*prompt_ids, *answer_ids), len(prompt_ids), replay, said.apart)


def _answer_ids(tokenizer: Any, text: str, *, ended: bool) -> list[int]:  # noqa: ANN401
    """The answer with its end of turn, and without what the template writes after that."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if tokenizer.eos_token_id in ids:
        end = ids.index(tokenizer.eos_token_id)
        return ids[: end + 1] if ended else ids[:end]
    return [*ids, tokenizer.eos_token_id] if ended else ids


def _templated(
    file: Path,
    number: int,
    tokenizer: Any,  # noqa: ANN401
    messages: list[dict[str, str]],
    answer: str,
) -> tuple[str, str]:
    """The prompt by itself, and with the answer after it."""
    from jinja2 import TemplateError

    turn = [*messages, {"role": "assistant", "content": answer}]
    try:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return prompt, tokenizer.apply_chat_template(turn, tokenize=False)
    except (TemplateError, ValueError, TypeError) as error:
        reason = f"the chat template does not take the conversation: {error}"
        raise RowRefusedError(file, number, reason) from error


def _check_words(file: Path, number: int, answer: str, tokenizer: Any) -> None:  # noqa: ANN401
    """An answer that holds a token of the template would be learnt up to there, or as two turns."""
    found = [token for token in tokenizer.all_special_tokens if token in answer]
    if found:
        raise RowRefusedError(
            file, number, f"the answer holds {found[0]!r}, which is a token of the chat template"
        )


def _parsed(file: Path, number: int, line: str, answered: Answered) -> _Said:
    try:
        row = json.loads(line)
        messages, answer = row["messages"], row[answered]
        roles = [turn["role"] for turn in messages]
    except (ValueError, KeyError, TypeError) as error:
        raise NoRowError(
            file, number, f'not {{"messages": […], "{answered}": …}}: {error!r}'
        ) from error
    spoken = [_text(turn.get("content")) for turn in messages]
    for place, (role, text) in enumerate(zip(roles, spoken, strict=True), 1):
        if text is None:
            reason = f"message {place}, of the role {role!r}, is not text alone"
            raise RowRefusedError(file, number, reason)
    if not any(text and text.strip() for text in spoken) or not str(answer or "").strip():
        raise RowRefusedError(file, number, "an empty conversation or an empty answer")
    if not isinstance(answer, str):
        raise RowRefusedError(file, number, "the answer is no text")
    told = [turn | {"content": text} for turn, text in zip(messages, spoken, strict=True)]
    ended, apart = bool(row.get(_ENDED[answered], True)), bool(row.get("apart", False))
    return _Said(told, answer, ended, apart)


def _text(content: object) -> str | None:
    """A message's text: parts are put together as the server does for a template of strings.

    None where there is none, or something else than text.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part.get("text") if isinstance(part, dict) else None for part in content]
    texts = [text for text in parts if isinstance(text, str)]
    return "\n".join(texts) if len(texts) == len(parts) else None
