from loop_platform.defs.curation.shares import allowance, over_share, usable


def test_nobody_has_more_than_the_share_of_what_enters():
    counts = {f"user-{n}": 1 for n in range(100)} | {"bought": 1000}
    most = allowance(counts, 0.05)
    assert most == 5
    assert most <= 0.05 * usable(counts, 0.05)


def test_a_crowd_of_equals_is_not_capped():
    assert usable({f"user-{n}": 3 for n in range(40)}, 0.05) == 120


def test_with_too_few_contributors_each_has_one():
    assert usable({"alone": 120}, 0.05) == 1


def test_what_reviewers_write_themselves_is_nobodys_share():
    counts = {"reviewer:ada": 50, "user": 9}
    assert allowance(counts, 0.05) == 2
    assert usable(counts, 0.05) == 52


def test_the_oldest_corrections_of_a_contributor_come_first():
    assert over_share(["a", "b", "a", "c", "a"], 0.25) == [False, False, True, False, True]
