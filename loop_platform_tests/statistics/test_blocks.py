import numpy as np
import pytest

from loop_platform.statistics.betting import e_above, e_below
from loop_platform.statistics.blocks import differences
from loop_platform.statistics.tally import Tally
from loop_platform_tests.statistics.chances import at_most


def test_a_block_is_as_short_as_it_can_be():
    calls = [(False, 1.0), (False, 0.0), (True, 1.0), (True, 0.0), (False, 1.0), (False, 1.0)]

    assert differences(calls) == [0.5, -1.0]


def test_one_side_alone_waits():
    assert differences([(True, 1.0)] * 9) == []
    assert differences([]) == []


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_champion_that_has_a_bad_hour_is_no_candidate_that_wins(share: float):
    """Both fail twice as often in the second half; looked at after every tenth block."""
    generator, runs, wrong = np.random.default_rng(3), 150, 0
    for _ in range(runs):
        mine = generator.random(1500) < share
        success = generator.random(1500) < np.where(np.arange(1500) < 750, 0.9, 0.8)
        found = differences(zip(mine.tolist(), success.astype(float).tolist(), strict=True))
        looks = [Tally.of(found[:n]) for n in range(10, len(found) + 1, 10)]
        wrong += any(max(e_above(seen, 0.0), e_below(seen, 0.0)) >= 40 for seen in looks)

    assert at_most(0.05, wrong, runs)
