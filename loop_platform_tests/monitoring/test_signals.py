from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

from loop_platform.defs.monitoring import signals as signals_folder
from loop_platform.defs.monitoring.observed import ObservedCall
from loop_platform.defs.monitoring.signals import signal_names, signals
from loop_platform.tables import schema

CHAT = {"messages": [{"role": "user", "content": "Say hello"}]}
SYSTEM = [{"role": "system", "content": "Answer with one JSON object."}]


def _call(answer: str | None = "Hello", **fields: object) -> ObservedCall:
    given = {
        "request": {},
        "messages": [],
        "answer": answer,
        "complete": True,
        "status": 200,
        "finish_reason": "stop",
        "latency_ms": 100.0,
        "completion_tokens": 3,
        "mean_logprob": -0.2,
        "min_logprob": -0.9,
        "nearest": 0.9,
    }
    return ObservedCall(**(given | fields))  # type: ignore[arg-type]


def _measured(name: str, call: ObservedCall) -> float | None:
    return {signal.name: signal for signal in signals()}[name].measure(call)


def test_every_file_is_a_signal() -> None:
    assert [signal.name for signal in signals()] == signal_names()
    assert all(signal.description for signal in signals())


@pytest.mark.parametrize(
    ("answer", "fields", "expected"),
    [
        ("Hello", {}, None),
        ("Hello", {"messages": SYSTEM}, 0.0),
        ('{"intent": "on"}', {"messages": SYSTEM}, 1.0),
        ("7", {"messages": SYSTEM}, 0.0),
        ("{", {"request": {"response_format": {"type": "json_object"}}}, 0.0),
        ("{", {"request": {"text": {"format": {"type": "json_schema"}}}}, 0.0),
        ("Hello", {"request": {"text": {"format": {"type": "text"}}}}, None),
        ('[{"name": "f"}]', {"request": {"tool_choice": "required"}}, 1.0),
        ("Hello", {"messages": SYSTEM, "complete": False}, None),
        ("Hello", {"messages": SYSTEM, "status": 503}, None),
    ],
)
def test_format_validity_counts_where_a_format_was_asked_for(
    answer: str, fields: dict[str, object], expected: float | None
) -> None:
    assert _measured("format_validity", _call(answer, **fields)) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("I'm sorry, but I can't help.", 1.0), ("I can’t do that", 1.0), ("Sure!", 0.0), (None, None)],
)
def test_a_refusal_is_seen(answer: str | None, expected: float | None) -> None:
    assert _measured("refusal", _call(answer)) == expected


def test_an_answer_that_loops_is_repetitive() -> None:
    looping = _measured("repetition", _call("the lamp is on " * 10))
    assert looping is not None
    assert looping > 0.8
    assert _measured("repetition", _call(" ".join(map(str, range(40))))) == 0
    assert _measured("repetition", _call("too short")) is None


def test_length_is_in_tokens_or_else_in_words() -> None:
    assert _measured("length", _call()) == 3
    assert _measured("length", _call("two words", completion_tokens=None)) == 2


def test_novelty_is_unknown_without_prompts_before() -> None:
    assert _measured("novelty", _call(nearest=None)) is None
    assert _measured("novelty", _call(nearest=0.25)) == 0.75


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        ("plain", "plain"),
        ([{"type": "text", "text": "part"}, {"type": "image_url"}], "part"),
        (None, ""),
        (7, ""),
    ],
)
def test_the_prompt_is_the_last_user_message(content: object, prompt: str) -> None:
    messages: Sequence[dict[str, object]] = [
        {"role": "user", "content": "before"},
        {"role": "user", "content": content},
        {"role": "assistant", "content": "after"},
    ]
    assert _call(messages=messages).prompt == prompt


@pytest.fixture
def more_signals(tmp_path: Path) -> Iterator[Path]:
    """A folder that belongs to the signals."""
    signals_folder.__path__.append(str(tmp_path))
    signals.cache_clear()
    yield tmp_path
    signals_folder.__path__.remove(str(tmp_path))
    signals.cache_clear()


def test_one_new_file_is_a_new_signal(more_signals: Path) -> None:
    (more_signals / "shouting.py").write_text(
        '"""The share of capital letters."""\n'
        "def measure(call): return sum(map(str.isupper, call.answer)) / len(call.answer)\n"
        "def reason(value): return 'shouts' if value > 0.5 else None\n"
    )
    assert _measured("shouting", _call("HELLO")) == 1
    assert schema("monitoring/signals")["shouting"] == pl.Float64


def test_a_file_that_is_no_signal_is_refused_with_what_it_lacks(more_signals: Path) -> None:
    (more_signals / "empty.py").write_text('"""Nothing."""\n')
    with pytest.raises(TypeError, match=r"empty\.py lacks measure, reason"):
        signals()
