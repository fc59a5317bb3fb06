import pytest

from loop_platform.defs.review.ranking import harm, objects, uncertainty
from loop_platform_tests.review.queues import said


def test_more_that_speaks_against_an_answer_is_more_harm_and_never_above_one():
    flags = [{"signal": "refusal", "reason": "…"}]
    low = said("rating", rating=1)
    correction = said("correction", correction="…")
    assert 0 < harm(flags, []) < harm([], [low]) < harm(flags, [low, correction]) < 1


@pytest.mark.parametrize(
    ("entry", "asks"),
    [
        (said("rating", rating=2), True),
        (said("rating", rating=3), False),
        (said("outcome", outcome=False), True),
        (said("outcome", outcome=True), False),
        (said("report", report="rude"), True),
        (said("correction", correction="…"), True),
        (said("contribution", correction="…"), True),
    ],
)
def test_only_objections_and_examples_ask_for_a_decision(entry, asks):
    assert objects(entry) is asks


def test_where_people_disagree_nothing_is_certain():
    agreed = [said("outcome", outcome=False), said("rating", rating=1)]
    assert uncertainty(agreed, mean_logprob=0.0) == 0.5
    assert uncertainty(agreed, mean_logprob=None) == 0.75
    assert uncertainty([*agreed, said("rating", rating=5)], mean_logprob=0.0) == 1.0
    rivals = [said("correction", correction="a"), said("correction", correction="b")]
    assert uncertainty(rivals, mean_logprob=0.0) == 1.0
