"""How much the answer repeats itself: the share of its word trigrams that came before in it."""

from loop_platform.defs.monitoring.observed import ObservedCall

_LOOPING = 0.5
_WORDS = 12


def measure(call: ObservedCall) -> float | None:
    words = (call.answer or "").split()
    if len(words) < _WORDS:
        return None
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams)


def reason(value: float) -> str | None:
    return f"repeats itself: {value:.0%} of the trigrams" if value > _LOOPING else None
