"""Memory that runs out: half as much is computed at once, and what failed is done again.

Covered is memory that is refused: `torch.OutOfMemoryError` of a GPU, an allocation of its
libraries, and the CPU allocator's `RuntimeError`. Not covered is a kernel that promises memory it
has not and ends the process: there the run is tried once more, as after any other death.
"""

import gc
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_REFUSALS = ("DefaultCPUAllocator", "ALLOC_FAILED", "out of memory")


class NoRoomError(RuntimeError):
    """There is no memory for even the smallest part."""


class Room:
    """How much is computed at once, in units that the work understands (tokens, rows)."""

    def __init__(
        self, at_once: int, unit: str, say: Callable[[str], None], *, alone: bool = True
    ) -> None:
        """`alone`: no other process computes in step with this one, and would have to halve too."""
        self.at_once = at_once
        self.halvings: list[dict[str, object]] = []
        """Of each: what was done, and how much at once from then on."""
        self._unit = unit
        self._alone = alone
        self._say = say

    def run(self, work: Callable[[int], Result], doing: str, least: int) -> Result:
        """What `work` of `at_once` gives, once there is memory for it.

        It has to leave everything as it was when it fails.

        Args:
            doing: what it does, for the record.
            least: what cannot be divided any more.

        Raises:
            NoRoomError: there is no memory for `least` either, or others compute in step.
        """
        while True:
            try:
                return work(self.at_once)
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
                if not self._alone:
                    raise NoRoomError(
                        f"memory ran out in {doing}, with {self.at_once} {self._unit} at once:"
                        f" {error}; of processes that train together none halves that by itself, so"
                        " lower the recipe's tokens_per_step, or give more memory"
                    ) from error
                if self.at_once <= least:
                    raise NoRoomError(
                        f"memory ran out in {doing}, with {self.at_once} {self._unit} at once:"
                        f" {error}; a base model that fits, shorter rows or more memory would help"
                    ) from error
            # Out of the handler: while the error is known, its frames hold what fills the memory.
            self._halve(doing)

    def _halve(self, doing: str) -> None:
        import torch

        self.at_once = max(1, self.at_once // 2)
        self.halvings.append({"doing": doing, "unit": self._unit, "at_once": self.at_once})
        self._say(f"memory ran out in {doing}: from now on {self.at_once} {self._unit} at once")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there is no memory."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _REFUSALS)
