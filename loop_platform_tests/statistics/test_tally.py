import numpy as np
import pytest

from loop_platform.statistics.tally import GRID, Tally, as_share


def test_successes_and_failures_are_counted_exactly():
    seen = Tally.of([1, -1, 0, 0, 1])

    assert np.array_equal(seen.counts, Tally.of_pairs(wins=2, losses=1, ties=2).counts)
    assert (seen.n, seen.mean) == (5, pytest.approx(0.2))


def test_a_value_between_two_points_keeps_its_mean():
    values = np.random.default_rng(1).uniform(-1, 1, 500)

    seen = Tally.of(values)

    assert seen.n == pytest.approx(500)
    assert seen.mean == pytest.approx(values.mean(), abs=1e-12)


def test_both_ends_belong_to_the_grid():
    assert Tally.of([-1.0, 1.0]).counts[[0, -1]].tolist() == [1, 1]


@pytest.mark.parametrize("value", [1.01, -2.0, float("nan"), float("inf")])
def test_what_is_not_bounded_is_refused(value: float):
    with pytest.raises(ValueError, match="differences in"):
        Tally.of([0.0, value])


def test_tallies_add_up_however_they_were_cut():
    values = np.random.default_rng(2).uniform(-1, 1, 90)
    parts = [Tally.of(part) for part in np.array_split(values, 7)]

    assert np.allclose(sum(parts, Tally.of()).counts, Tally.of(values).counts)


def test_mirrored_turns_wins_into_losses():
    assert np.array_equal(Tally.of_pairs(3, 1, 5).mirrored().counts, Tally.of_pairs(1, 3, 5).counts)


def test_of_nothing_there_is_no_mean():
    assert Tally.of().mean is None


def test_a_share_is_a_mean_on_another_scale():
    seen = Tally.of_share(3, 12)

    assert seen.mean is not None
    assert as_share(seen.mean) == pytest.approx(0.25)
    assert len(GRID) == len(seen.counts)
