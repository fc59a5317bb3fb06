"""How long the caller waited for the whole answer, in milliseconds."""

from loop_platform.defs.monitoring.observed import ObservedCall

# The machine's state, not the traffic's: an adapter being trained beside it is no drift.
ALARMS = False

_SLOW_MS = 30_000


def measure(call: ObservedCall) -> float | None:
    return call.latency_ms


def reason(value: float) -> str | None:
    return f"slow: {value / 1000:.0f} s" if value > _SLOW_MS else None
