"""The time that the steps may take, aiming and remembering included."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Seconds, or None for as long as it takes."""

    seconds: float | None

    def spent(self, elapsed: float, step_s: float, left: int) -> float:
        """The share that is spent, where what is left will not do; else 0.

        A run that fits takes its steps as if there were no budget, so that it gives the same
        adapter however fast the machine is.

        Args:
            elapsed: seconds since the run began.
            step_s: seconds that a step takes.
            left: steps that the recipe has still to make.
        """
        if self.seconds is None or elapsed + left * step_s <= self.seconds:
            return 0.0
        return min(1.0, elapsed / self.seconds)

    def is_over(self, elapsed: float, step_s: float) -> bool:
        """Whether another step would take longer than there is time for."""
        return self.seconds is not None and elapsed + step_s > self.seconds
