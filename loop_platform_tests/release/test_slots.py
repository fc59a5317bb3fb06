from loop_platform.release.slots import plan


def test_the_champion_takes_the_first_slot():
    target = plan({"a": None, "b": None}, champion="base", second=None, keep=[])

    assert target == {"a": "base", "b": None}


def test_nobody_moves_who_has_a_slot():
    target = plan({"a": "r-2", "b": "base"}, champion="base", second="r-2", keep=[])

    assert target == {"a": "r-2", "b": "base"}


def test_the_retired_champion_stays_hot_until_a_candidate_needs_its_slot():
    hot = {"a": "base", "b": "r-1"}

    assert plan(hot, champion="r-1", second=None, keep=["base"]) == hot
    assert plan(hot, champion="r-1", second="r-2", keep=["base"]) == {"a": "r-2", "b": "r-1"}


def test_a_rejected_candidate_gives_its_slot_back():
    target = plan({"a": "base", "b": "r-1"}, champion="base", second=None, keep=[])

    assert target == {"a": "base", "b": None}


def test_an_empty_slot_is_taken_before_a_hot_one():
    target = plan({"a": None, "b": "base", "c": "r-1"}, champion="r-1", second="r-2", keep=["base"])

    assert target == {"a": "r-2", "b": "base", "c": "r-1"}
