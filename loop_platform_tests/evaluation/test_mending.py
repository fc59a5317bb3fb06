import pytest

from loop_platform.defs.curation.modes import Mode
from loop_platform.defs.evaluation.mending import evidence, mendings, sentence


def mode(number):
    name = f"home: kind {number}"
    return Mode(f"home-{number:04}", "home", name, severity=0.9, size=9, examples=())


def verdicts(*seen, trained=7):
    """Of modes whose held-out pairs are these."""
    modes = [(mode(at), {"train": trained, "heldout": len(pairs)}) for at, pairs in enumerate(seen)]
    asked = [mode(at).cluster for at, pairs in enumerate(seen) for _ in pairs]
    return mendings(modes, asked, [pair for pairs in seen for pair in pairs])


WON, LOST, SAME = (False, True), (True, False), (False, False)


def test_a_mode_is_mended_where_the_interval_of_its_gain_is_above_nothing():
    [found] = verdicts([WON] * 9 + [SAME])
    assert found.verdict == "mended"
    assert (found.champion.rate, found.candidate.rate, found.candidate.n) == (0.0, 0.9, 10)
    assert 0 < found.gain.low < 0.9 < found.gain.high


def test_a_mode_is_worse_where_it_is_below():
    [found] = verdicts([LOST] * 9 + [(True, True)])
    assert found.verdict == "worse"
    assert found.gain.high < 0


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4])
def test_few_rows_mend_nothing_however_they_come_out(rows):
    [found] = verdicts([WON] * rows)
    assert found.verdict == "not known"
    assert found.candidate.n == rows


def test_as_many_losses_as_gains_are_no_news():
    assert [each.verdict for each in verdicts([WON] * 6 + [LOST] * 6)] == ["not known"]


def test_each_mode_is_judged_on_its_own_rows():
    found = verdicts([WON] * 8, [LOST] * 8, [])
    assert [each.verdict for each in found] == ["mended", "worse", "not known"]
    assert sentence(found) == (
        "mended: home: kind 0. Worse: home: kind 1. Not known of 1 of 3 modes"
    )
    said = evidence(found)
    assert (said["mended"], said["worse"], said["not known"]) == (
        ["home: kind 0"],
        ["home: kind 1"],
        1,
    )
    assert [each["candidate"]["n"] for each in said["each"]] == [8, 8, 0]
    assert said["each"][0]["trained_on"] == 7


def test_a_mode_that_waits_for_another_cycle_is_not_in_the_evidence():
    assert mendings([(mode(0), {"train": 0, "heldout": 0, "deferred": 4})], [], []) == []
