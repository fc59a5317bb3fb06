import random

import pytest

from loop_platform.statistics.paired import (
    Pairs,
    binomial_tail,
    difference,
    p_better,
    p_different,
    p_worse,
)


def test_pairs_are_counted_by_how_they_came_out():
    pairs = Pairs.of([True, True, False, False], [True, False, True, False])

    assert pairs == Pairs(both=1, only_candidate=1, only_champion=1, neither=1)
    assert (pairs.n, pairs.champion, pairs.candidate) == (4, 2, 2)


def test_answers_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="zip"):
        Pairs.of([True], [])


def test_the_exact_test_agrees_with_scipy():
    from scipy.stats import binomtest

    for wins, losses in [(0, 0), (9, 1), (30, 21), (5, 5), (700, 600)]:
        pairs = Pairs(both=3, only_candidate=wins, only_champion=losses, neither=4)
        n = wins + losses
        expected = binomtest(wins, n, alternative="greater").pvalue if n else 1.0
        assert p_better(pairs) == pytest.approx(expected)
        expected = binomtest(losses, n, alternative="greater").pvalue if n else 1.0
        assert p_worse(pairs) == pytest.approx(expected)


def test_pairs_that_never_differ_tell_nothing():
    assert p_different(Pairs(both=50, only_candidate=0, only_champion=0, neither=50)) == 1.0


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, 2635-2650, table III, method 10.
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((20, 12, 2, 16), 0.0562, 0.3292),
        ((0, 0, 0, 50), -0.0714, 0.0714),
    ],
)
def test_the_interval_agrees_with_the_published_table(
    table: tuple[int, int, int, int], low: float, high: float
):
    found = difference(Pairs(*table))

    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = random.Random(5)
    covered = 0
    for _ in range(1500):
        champion = [generator.random() < 0.8 for _ in range(80)]
        candidate = [c if generator.random() < 0.7 else generator.random() < 0.8 for c in champion]
        found = difference(Pairs.of(champion, candidate))
        covered += found.low <= 0.0 <= found.high

    assert 0.93 <= covered / 1500 <= 0.98


def test_the_test_is_wrong_no_more_often_than_it_says():
    generator = random.Random(6)
    false_alarms = 0
    for _ in range(2000):
        champion = [generator.random() < 0.5 for _ in range(60)]
        candidate = [generator.random() < 0.5 for _ in range(60)]
        false_alarms += p_better(Pairs.of(champion, candidate)) < 0.05

    assert false_alarms / 2000 <= 0.05


def test_a_coin_thrown_many_times_does_not_underflow():
    assert binomial_tail(2000, 4000) == pytest.approx(0.5, abs=0.01)
