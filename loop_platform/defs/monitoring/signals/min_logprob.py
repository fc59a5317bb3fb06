"""Where the model was least sure: the lowest log-probability of a token of the answer."""

from loop_platform.defs.monitoring.observed import ObservedCall

_GUESSED = -9.0


def measure(call: ObservedCall) -> float | None:
    return call.min_logprob


def reason(value: float) -> str | None:
    return f"guessed: a token of log-probability {value:.1f}" if value < _GUESSED else None
