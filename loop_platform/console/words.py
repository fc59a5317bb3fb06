"""How numbers, times and texts read on a page: the templates' filters."""

import difflib
import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

_WORD = re.compile(r"\s+|\w+|[^\w\s]")


def ago(at: datetime | float | None) -> str:
    """`3 min ago`: the largest unit of which there are two."""
    if at is None:
        return "never"
    then = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    seconds = (datetime.now(UTC) - then).total_seconds()
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now" if seconds < 5 else f"{seconds:.0f} s ago"


def moment(at: datetime | float | None) -> str:
    """`2026-11-23 14:05:09`, in UTC."""
    if at is None:
        return "–"
    then = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return then.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float | None) -> str:
    """`42 s`, `3 min 20 s`, `2 h 5 min`, `3 days`."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    if whole < 86400:
        return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")
    return f"{whole // 86400} days"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}".removesuffix(".0") + " %"


def pretty(text: object) -> str:
    """JSON indented; anything else as it is."""
    if not isinstance(text, str):
        return json.dumps(text, indent=2, ensure_ascii=False)
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return (
        json.dumps(found, indent=2, ensure_ascii=False) if isinstance(found, dict | list) else text
    )


def difference(before: str | None, after: str) -> Markup:
    """`after` with what it takes away from `before` and what it adds marked, word by word."""
    old, new = _WORD.findall(pretty(before or "")), _WORD.findall(pretty(after))
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    if matcher.ratio() < 0.4:  # nothing in common: the marks would only be noise
        return escape(pretty(after))
    return Markup().join(_marked(old, new, matcher.get_opcodes()))


def _marked(
    old: list[str], new: list[str], changes: Iterable[tuple[str, int, int, int, int]]
) -> Iterable[Markup]:
    for kind, old_from, old_to, new_from, new_to in changes:
        gone, come = "".join(old[old_from:old_to]), "".join(new[new_from:new_to])
        if kind == "equal":
            yield escape(come)
            continue
        if gone:
            yield Markup("<del>{}</del>").format(gone)
        if come:
            yield Markup("<ins>{}</ins>").format(come)


def short(identifier: str | None) -> str:
    """The end of an id, where ids of one moment differ."""
    return "–" if not identifier else f"…{identifier[-8:]}"


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "moment": moment,
    "span": span,
    "percent": percent,
    "pretty": pretty,
    "difference": difference,
    "short": short,
}
