"""The texts in a request or an answer of OpenAI's API, and the same with each replaced.

Every string is a text unless the protocol says what it is; the pieces of a streamed answer are one
text. What cannot be read as text is not kept: pictures and sound, tokens and vectors, an event that
was cut.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from loop_platform.personal_data.kinds import MEDIA, USER

Mask = Callable[[str, str], str]
"""Takes personal data out of a text, given what the text is said to be: the name of its field."""


class UnreadableError(ValueError):
    """It is neither JSON, nor events, nor text."""


_WORDS = frozenset(
    {
        "object",
        "model",
        "role",
        "type",
        "id",
        "finish_reason",
        "stop_reason",
        "tool_call_id",
        "call_id",
        "item_id",
        "service_tier",
        "system_fingerprint",
        "status",
        "encoding_format",
        "tool_choice",
        "reasoning_effort",
        "effort",
        "detail",
        "response_id",
        "previous_response_id",
        "code",
        "param",
        "truncation",
        "parallel_tool_calls",
    }
)
"""Fields whose values are the protocol's own, where they look like it."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,127}")
_KEY = re.compile(r"[A-Za-z0-9_]{1,64}")
_NAMED = frozenset({"function", "functions", "tools", "tool_calls", "json_schema", "tool_choice"})
"""Where a `name` is a function's or a schema's."""
_USERS = frozenset({"user", "safety_identifier", "prompt_cache_key", "session"})
_DROPPED = frozenset(
    {
        "bytes",
        "decoded_token",
        "embedding",
        "encrypted_content",
        "obfuscation",
        "prompt_logprobs",
        "prompt_token_ids",
        "token",
        "token_ids",
        "tokens",
        "top_logprobs",
    }
)
"""The text in other words, or vectors of it. How probable its tokens were stays."""
_FREE = frozenset({"metadata", "arguments"})
"""Below these, no name is the protocol's."""
_ENCODED = re.compile(r"data:[^\s,]*,|[A-Za-z0-9+/=_-]{512,}\s*\Z")
_LONG_NUMBER = 10**5
_PLACE = ("type", "item_id", "output_index", "content_index", "summary_index")
"""What tells one text of a streamed response from another."""

Json = Any
"""What a decoder gives, and a part of it."""

Path = tuple[Json, ...]


def body(text: str, mask: Mask) -> str:
    """A request's JSON."""
    try:
        document = msgspec.json.decode(text)
        texts = _Texts(mask)
        texts.look(document)
        texts.replace()
        return msgspec.json.encode(document).decode()
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableError("the body is no JSON that can be read") from error


def answer(text: str, mask: Mask) -> str:
    """An answer: JSON, the text of an event stream, or whatever an engine's failure says."""
    if not text.strip():
        return ""
    if text.lstrip().startswith(("{", "[")):
        return body(text, mask)
    if re.search(r"^(data|event|id|retry)?:", text, re.MULTILINE):
        return _events(text, mask)
    return plain(text, mask)


def plain(text: str, mask: Mask, about: str = "") -> str:
    """A text; where it is itself JSON, as a tool's arguments are, the texts in it."""
    if _ENCODED.match(text):
        return f"<{MEDIA}>"
    if text.lstrip().startswith(("{", "[")):
        try:
            document = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return mask(text, about)
        texts = _Texts(mask)
        texts.look(document, free=True)
        return msgspec.json.encode(document).decode() if texts.replace() else text
    return mask(text, about)


def _events(text: str, mask: Mask) -> str:
    texts = _Texts(mask)
    lines: list[Any] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        name, _, said = line.partition(":")
        if name != "data":
            if not line or (name == "event" and _WORD.fullmatch(said.strip())):
                lines.append(line)
            continue
        if said.strip() == "[DONE]":
            lines.append(line)
            continue
        try:
            event = msgspec.json.decode(said)
        except msgspec.DecodeError:  # cut, or in another dialect
            continue
        except RecursionError as error:
            raise UnreadableError("an event is too deep to be read") from error
        if isinstance(event, dict):
            texts.look(event, tuple(str(event.get(name)) for name in _PLACE))
            lines.append(event)
    texts.replace()
    return "\n".join(
        line if isinstance(line, str) else f"data: {msgspec.json.encode(line).decode()}"
        for line in lines
    )


class _Texts:
    """The texts of one document, or of the events of one stream, by their place."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._found: dict[Path, list[tuple[Any, Any]]] = {}
        self._changed = False

    def look(self, value: Json, path: Path = (), *, free: bool = False) -> None:
        if isinstance(value, dict):
            self._look_into(value, path, free)
        elif isinstance(value, list):
            for place, one in enumerate(value):
                index = one.get("index", place) if isinstance(one, dict) else place
                self._leaf_or_more(value, place, (*path, index), free)

    def replace(self) -> bool:
        """Puts the texts back without personal data: a text in pieces whole in the place of its
        first. Returns whether anything was changed."""
        for path, places in self._found.items():
            pieces = [holder[key] for holder, key in places]
            text = "".join(pieces)
            about = next((part for part in reversed(path) if isinstance(part, str)), "")
            clean = plain(text, self._mask, about)
            if clean == text:
                continue
            self._changed = True
            for number, (holder, key) in enumerate(places):
                holder[key] = "" if number else clean
        return self._changed

    def _look_into(self, value: dict[str, Any], path: Path, free: bool) -> None:
        self._name_anew(value)
        for key in list(value):
            if not free and (key in _DROPPED or _tokens(value[key])):
                self._drop(value, key)
                continue
            self._leaf_or_more(value, key, (*path, key), free or key in _FREE)

    def _name_anew(self, value: dict[str, Any]) -> None:
        """Fields may be called by a person's name too."""
        names = {key: key if _KEY.fullmatch(key) else self._mask(key, "") for key in value}
        if any(key != name for key, name in names.items()):
            self._changed = True
            fields = {names[key]: one for key, one in value.items()}
            value.clear()
            value.update(fields)

    def _drop(self, holder: dict[str, Any], key: str) -> None:
        """What is left of it has the same type; numbers, as a request has them there, stay."""
        value = holder[key]
        if value and isinstance(value, str | list | dict):
            self._changed = True
            holder[key] = type(value)()

    def _leaf_or_more(self, holder: Json, key: Json, path: Path, free: bool) -> None:
        value = holder[key]
        if isinstance(value, str):
            self._leaf(holder, key, path, free)
        elif free and isinstance(value, int | float) and abs(value) >= _LONG_NUMBER:
            clean = self._mask(str(value), str(key))
            if clean != str(value):
                self._changed = True
                holder[key] = clean
        else:
            self.look(value, path, free=free)

    def _leaf(self, holder: Json, key: Json, path: Path, free: bool) -> None:
        value: str = holder[key]
        if key in _USERS and (len(path) == 1 or path[:-1] == ("metadata",)):
            self._changed = True
            holder[key] = f"<{USER}>"
        elif value and not (_protocols_own(holder, key, path, free) and _WORD.fullmatch(value)):
            self._found.setdefault(path, []).append((holder, key))


def _protocols_own(holder: Json, key: Json, path: Path, free: bool) -> bool:
    if free:
        return False
    if key == "name":
        named = any(part in _NAMED for part in path[-4:-1])
        return named or holder.get("type") in ("function", "function_call")
    return key in _WORDS


def _tokens(value: Json) -> bool:
    """Whether it is a list of tokens by their numbers, or of such lists."""
    if not isinstance(value, list) or not value:
        return False
    return all(type(one) is int or _tokens(one) for one in value)
