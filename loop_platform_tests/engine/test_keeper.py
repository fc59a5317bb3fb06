"""The last good state of a run."""

from typing import Any

import pytest

from loop_platform.engine.keeper import Keeper


def kept(losses: list[float], steps: int = 200) -> tuple[Keeper, Any]:
    """A keeper that saw these losses, and a weight whose value was the number of steps made."""
    import torch

    weight = torch.zeros(1)
    keeper = Keeper([weight], steps)
    for step, found in enumerate(losses):
        weight.fill_(step)
        keeper.see(found)
    weight.fill_(float("nan"))
    return keeper, weight


def test_the_last_state_with_a_lower_loss_is_brought_back():
    keeper, weight = kept([4.0] * 10 + [2.0] * 27)

    assert keeper.bring_back()
    assert keeper.after == 30
    assert weight.item() == 30


def test_a_state_that_is_no_better_than_the_start_is_not_kept():
    keeper, weight = kept([4.0] * 10 + [2.0] * 21 + [5.0] * 30)

    assert keeper.bring_back()
    assert keeper.after == 30
    assert weight.item() == 30


def test_the_first_steps_keep_nothing():
    keeper, _ = kept([4.0] * 10 + [2.0] * 10)

    assert not keeper.bring_back()
    assert keeper.after is None


def test_long_runs_keep_a_twentieth_as_often():
    assert kept([4.0] * 10 + [2.0] * 70, steps=1000)[0].after == 50


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([4.0] * 10 + [2.0] * 30, False),
        ([4.0] * 10 + [11.0] * 10, False),  # not three times as much
        ([4.0] * 10 + [13.0] * 10, True),
        ([0.1] * 10 + [1.0] * 10, False),  # not two nats more
        ([0.1] * 10 + [3.0] * 10, True),
        ([0.1] * 10 + [30.0] * 9, False),  # too early to tell
        ([4.0] * 10 + [2.0] * 9 + [40.0], False),  # one batch says little
    ],
)
def test_a_run_away_is_seen_over_a_few_steps(losses: list[float], expected: bool):
    assert kept(losses)[0].runs_away is expected
