"""Training rows: a conversation and its answer as token ids, in the model's own chat template.

The prompt is encoded exactly as the server encodes it, and the answer by itself, because that is
where generation starts.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class RowRefusedError(ValueError):
    """A row that cannot be trained on; names its file and line."""

    def __init__(self, file: Path, line: int, reason: str) -> None:
        super().__init__(f"{file.name}, line {line}: {reason}")


@dataclass(frozen=True)
class Row:
    """Token ids, of which those from `answer_from` on are the answer."""

    ids: tuple[int, ...]
    answer_from: int
    replay: bool
    """The champion's own answer: a divergence from the champion counts on it."""

    @property
    def answer_tokens(self) -> int:
        return len(self.ids) - self.answer_from


def read(file: Path, tokenizer: Any, *, replay: bool, max_tokens: int) -> list[Row]:  # noqa: ANN401
    """The rows of a JSON-lines file of `{"messages": […], "answer": …, "ended"?: bool}`.

    `ended` false says that the answer was cut by a token limit: no end of turn is learnt from it.

    Raises:
        RowRefusedError: a line is no such object, is empty, or is too long.
    """
    lines = [(n, line) for n, line in enumerate(file.read_text().splitlines(), 1) if line.strip()]
    return [
        Row(*_encoded(file, number, line, tokenizer, max_tokens), replay) for number, line in lines
    ]


def content_hash(*files: Path) -> str:
    """SHA-256 over the files' bytes: what a run was trained on."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _encoded(
    file: Path,
    number: int,
    line: str,
    tokenizer: Any,  # noqa: ANN401
    max_tokens: int,
) -> tuple[tuple[int, ...], int]:
    messages, answer, ended = _parsed(file, number, line)
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    turn = [*messages, {"role": "assistant", "content": answer}]
    whole = tokenizer.apply_chat_template(turn, tokenize=False)
    if not whole.startswith(prompt):
        raise RowRefusedError(file, number, "the chat template does not put the answer last")
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    answer_ids = _answer_ids(tokenizer, whole[len(prompt) :], ended=ended)
    length = len(prompt_ids) + len(answer_ids)
    if length > max_tokens:
        raise RowRefusedError(file, number, f"{length} tokens; at most {max_tokens} are served")
    return (*prompt_ids, *answer_ids), len(prompt_ids)


def _answer_ids(tokenizer: Any, text: str, *, ended: bool) -> list[int]:  # noqa: ANN401
    """The answer with its end of turn, and without what the template writes after that."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if tokenizer.eos_token_id in ids:
        end = ids.index(tokenizer.eos_token_id)
        return ids[: end + 1] if ended else ids[:end]
    return [*ids, tokenizer.eos_token_id] if ended else ids


def _parsed(file: Path, number: int, line: str) -> tuple[list[dict[str, str]], str, bool]:
    try:
        row = json.loads(line)
        messages, answer = row["messages"], row["answer"]
        spoken = [(turn["role"], turn["content"]) for turn in messages]
    except (ValueError, KeyError, TypeError) as error:
        raise RowRefusedError(
            file, number, f'not {{"messages": […], "answer": …}}: {error!r}'
        ) from error
    if not spoken or not isinstance(answer, str) or not answer.strip():
        raise RowRefusedError(file, number, "an empty conversation or an empty answer")
    return messages, answer, bool(row.get("ended", True))
