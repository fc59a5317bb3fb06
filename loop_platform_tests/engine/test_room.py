"""Memory that runs out, and lanes of which one fails."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from loop_platform.engine.lanes import Lanes
from loop_platform.engine.room import NoRoomError, Room, ran_out


def too_much() -> None:
    """What the CPU allocator really says."""
    import torch

    torch.empty(1 << 60, dtype=torch.uint8)


@pytest.fixture
def said() -> list[str]:
    return []


def test_half_as_much_is_computed_at_once_until_there_is_memory(said: list[str]):
    room = Room(1024, "tokens", said.append)

    def work(at_once: int) -> int:
        if at_once > 300:
            too_much()
        return at_once

    assert room.run(work, "step 7", least=10) == 256
    assert room.run(work, "step 8", least=10) == 256
    assert room.halvings == [
        {"doing": "step 7", "unit": "tokens", "at_once": 512},
        {"doing": "step 7", "unit": "tokens", "at_once": 256},
    ]
    assert said == [
        "memory ran out in step 7: from now on 512 tokens at once",
        "memory ran out in step 7: from now on 256 tokens at once",
    ]


def test_where_the_smallest_part_does_not_fit_the_error_says_so(said: list[str]):
    with pytest.raises(NoRoomError, match=r"step 1, with 64 tokens at once: .*DefaultCPUAllocator"):
        Room(256, "tokens", said.append).run(lambda _: too_much(), "step 1", least=100)


def test_who_computes_in_step_with_others_halves_nothing(said: list[str]):
    room = Room(1024, "tokens", said.append, alone=False)
    with pytest.raises(
        NoRoomError, match=r"step 1, with 1024 .* lower the recipe's tokens_per_step"
    ):
        room.run(lambda _: too_much(), "step 1", least=100)
    assert room.halvings == []


def test_a_gpus_error_is_known_too_and_any_other_is_let_through(said: list[str]):
    import torch

    assert ran_out(torch.OutOfMemoryError("CUDA out of memory."))
    assert ran_out(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling …"))
    assert ran_out(MemoryError())
    assert not ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))

    def wrong(_: int) -> None:
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        Room(256, "tokens", said.append).run(wrong, "step 1", least=1)
    assert said == []


def test_a_lane_that_fails_leaves_none_at_work():
    started, failed, done = threading.Event(), threading.Event(), []

    def work(item: str) -> None:
        if item == "fails":
            assert started.wait(10)
            failed.set()
            raise MemoryError
        started.set()
        assert failed.wait(10)
        done.append(item)

    with ThreadPoolExecutor(2) as executor:
        with pytest.raises(MemoryError):
            Lanes(executor).run(work, ["fails", "goes on"])
        assert done == ["goes on"]
