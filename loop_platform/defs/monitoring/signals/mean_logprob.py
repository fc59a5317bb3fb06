"""How sure the model was on average: the mean log-probability of the answer's tokens."""

from loop_platform.defs.monitoring.observed import ObservedCall

_UNSURE = -1.5


def measure(call: ObservedCall) -> float | None:
    return call.mean_logprob


def reason(value: float) -> str | None:
    return f"unsure: mean log-probability {value:.2f} a token" if value < _UNSURE else None
