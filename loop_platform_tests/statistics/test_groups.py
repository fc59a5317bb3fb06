import numpy as np
import pytest

from loop_platform.statistics.groups import Groups
from loop_platform_tests.statistics.chances import at_most


def test_a_difference_is_the_candidates_share_minus_the_champions():
    seen = Groups(9, 10, 120, 160)

    assert (seen.n, seen.mean) == (10, pytest.approx(0.15))
    assert seen.lower(0.025) < 0.15 < seen.upper(0.025)


def test_one_side_alone_tells_nothing():
    for seen in (Groups(0, 0, 9, 10), Groups(9, 10, 0, 0), Groups(0, 0, 0, 0)):
        assert (seen.mean, seen.lower(0.025), seen.upper(0.025)) == (None, -1.0, 1.0)


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="there cannot be"):
        Groups(11, 10, 0, 0)


def test_failures_for_successes_mirror_the_interval():
    seen = Groups(30, 40, 700, 800)

    assert seen.lower(0.025) == pytest.approx(-seen.mirrored().upper(0.025))


def test_a_bound_is_where_the_e_value_says_so():
    seen = Groups(12, 40, 700, 800)

    assert seen.e_below(seen.upper(0.025)) == pytest.approx(40, rel=0.05)
    assert seen.e_above(seen.lower(0.025)) == pytest.approx(40, rel=0.05)


def test_one_more_success_never_speaks_against_the_candidate():
    bounds = [Groups(wins, 30, 500, 600).lower(0.025) for wins in range(0, 31, 3)]

    assert bounds == sorted(bounds)


def test_a_champion_known_better_only_narrows():
    widths = [
        seen.upper(0.025) - seen.lower(0.025)
        for seen in (Groups(45, 50, 9 * n, 10 * n) for n in (5, 50, 500))
    ]

    assert widths == sorted(widths, reverse=True)


def test_failures_that_the_champion_never_has_are_soon_seen():
    """Pairs could not tell: six losses against no win come from a fair coin once in 64 times."""
    assert Groups(4, 10, 60, 60).e_below(-0.05) > 40
    assert Groups(10, 10, 60, 60).e_below(-0.05) < 1


def test_without_a_failure_a_margin_takes_as_many_calls_as_it_must():
    """With a true loss of m, n calls come through with (1 - m)^n."""
    held = next(n for n in range(10, 1000, 10) if Groups(n, n, 19 * n, 19 * n).lower(0.025) > -0.05)

    assert 72 <= held <= 150


@pytest.mark.parametrize(("share", "rate"), [(0.05, 0.95), (0.3, 0.6)])
def test_looking_again_and_again_refutes_the_truth_no_more_often_than_stated(
    share: float, rate: float
):
    assert at_most(0.05, _false_alarms(share, lambda at: np.full(at.shape, rate)), 150)


def test_a_bad_hour_of_both_is_nobodys_loss():
    def success(at: "np.ndarray") -> "np.ndarray":
        return np.where((at > 500) & (at < 900), 0.5, 0.95)

    assert at_most(0.05, _false_alarms(0.1, success), 150)


def _false_alarms(share: float, success) -> int:
    """Runs of 150 in which two sides that are alike are told apart, looked at 15 times."""
    generator, found = np.random.default_rng(1), 0
    for _ in range(150):
        mine = generator.random(1500) < share
        won = generator.random(1500) < success(np.arange(1500))
        for n in range(100, 1501, 100):
            now, ours = won[:n], mine[:n]
            seen = Groups(
                int(now[ours].sum()), int(ours.sum()), int(now[~ours].sum()), int((~ours).sum())
            )
            if max(seen.e_above(0.0), seen.e_below(0.0)) >= 40:
                found += 1
                break
    return found
