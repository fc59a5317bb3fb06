"""How new the prompt is: its cosine distance to the most similar prompt before it."""

from loop_platform.defs.monitoring.observed import ObservedCall

# What it is measured against grows, so it falls with time by itself.
ALARMS = False

_NEW = 0.6


def measure(call: ObservedCall) -> float | None:
    return None if call.nearest is None else max(0.0, 1 - call.nearest)


def reason(value: float) -> str | None:
    return f"unlike any prompt before it: distance {value:.2f}" if value > _NEW else None
