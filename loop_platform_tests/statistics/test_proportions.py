import pytest

from loop_platform.statistics.proportions import Rate, wilson


def test_wilson_agrees_with_the_published_example():
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_nothing_seen_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    assert Rate.of(0, 0).rate is None


def test_all_and_none_reach_the_ends_exactly():
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(successes: int, n: int):
    with pytest.raises(ValueError, match="there cannot be"):
        wilson(successes, n)


def test_a_rate_is_printed_with_its_n_and_interval():
    assert str(Rate.of(50, 100)) == "50.0% (n 100, 40.4% to 59.6%)"
