"""The batches of one optimiser step side by side, each on a lane of its own.

Threads that share every product meet at a barrier thousands of times a step, and wait there for the
core that is busy with other work. Lanes meet once a step.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lanes:
    """Some threads, each with its share of torch's."""

    def __init__(self, executor: ThreadPoolExecutor | None = None) -> None:
        self._executor = executor

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The results in the order of the items, whichever was done first."""
        if self._executor is None:
            return [work(item) for item in items]
        waiting = [self._executor.submit(work, item) for item in items]
        try:
            return [one.result() for one in waiting]
        finally:
            # Where one failed, nothing of the others goes on behind the caller's back.
            for one in waiting:
                one.cancel()
            wait(waiting)
            waiting.clear()


@contextmanager
def lanes(at_most: int) -> Iterator[Lanes]:
    """As many as torch has threads for; where a GPU computes there is one, the caller's own."""
    import torch

    threads = torch.get_num_threads()
    count = 1 if torch.cuda.is_available() else min(at_most, threads)
    if count <= 1:
        yield Lanes()
        return
    # A thread takes over how many it may use when it first computes: set it before they start.
    torch.set_num_threads(threads // count)
    try:
        with ThreadPoolExecutor(count, thread_name_prefix="lane") as executor:
            yield Lanes(executor)
    finally:
        torch.set_num_threads(threads)
