"""What a drill may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Of one drill."""

    pace: float = 12.0
    """Calls a second of its own callers."""
    minutes: float = 4.0
    """That a trial may take before the drill ends it."""
