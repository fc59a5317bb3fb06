"""How long the answer is, in tokens; in words where the engine did not count tokens."""

from loop_platform.defs.monitoring.observed import ObservedCall


def measure(call: ObservedCall) -> float | None:
    if call.completion_tokens is not None:
        return float(call.completion_tokens)
    return None if call.answer is None else float(len(call.answer.split()))


def reason(value: float) -> str | None:
    return "empty answer" if value == 0 else None
