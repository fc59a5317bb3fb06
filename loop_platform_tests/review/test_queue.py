import sqlalchemy as sa

from loop_platform.database import decisions, review_feedback, review_items
from loop_platform_tests.review.queues import candidate, corrected, queued, said


def item(database, item_id):
    with database.connect() as connection:
        query = sa.select(review_items).where(review_items.c.item_id == item_id)
        return connection.execute(query).one()


def ranked(database):
    with database.connect() as connection:
        query = (
            sa.select(review_items.c.cluster)
            .where(review_items.c.state == "open")
            .order_by(review_items.c.priority.desc(), review_items.c.item_id)
        )
        return list(connection.scalars(query))


def test_the_head_of_the_queue_holds_one_of_each_kind(database):
    calls = [corrected(f"call {n}", "yes") for n in range(12)]
    queued(database, *calls, kinds=[0] * 8 + [1, 1, 2, 3])
    assert len(set(ranked(database)[:4])) == 4


def test_kinds_that_were_decided_come_later(database):
    first = corrected("first", "yes")
    queued(database, first, kinds=[0])
    with database.begin() as connection:
        connection.execute(sa.update(review_items).values(state="decided"))
    queued(database, corrected("again", "yes"), corrected("new", "yes"), kinds=[0, 1])
    new, again = ranked(database)
    assert again == item(database, first.item_id).cluster
    assert new != again


def test_queueing_twice_changes_nothing(database):
    calls = [corrected("a", "yes"), candidate("b", flags=[{"signal": "refusal", "reason": "…"}])]
    assert queued(database, *calls).added == 2
    before = item(database, calls[0].item_id)
    assert queued(database, *calls).unchanged == 2
    assert item(database, calls[0].item_id) == before


def test_a_correction_of_an_open_item_joins_it(database):
    call = candidate(flags=[{"signal": "refusal", "reason": "…"}])
    queued(database, call)
    before = item(database, call.item_id)
    correction = said("correction", "user-7", correction="Done.")
    again = candidate(item_id=call.item_id, call_id=call.call_id, feedback=[correction])
    assert queued(database, again).updated == 1
    after = item(database, call.item_id)
    assert (after.proposed, after.proposed_by) == ("Done.", "user-7")
    assert after.proposed_in == correction["feedback_id"]
    assert after.harm > before.harm
    assert after.flags == before.flags
    with database.connect() as connection:
        assert connection.scalar(sa.select(review_feedback.c.item_id)) == call.item_id


def test_the_latest_correction_is_the_proposal(database):
    early, late = said("correction", correction="early"), said("correction", correction="late")
    call = candidate(feedback=[late | {"received_at": early["received_at"] + 1}, early])
    queued(database, call)
    assert item(database, call.item_id).proposed == "late"


def decided(database, call, verdict):
    with database.begin() as connection:
        values = {"decision_id": call.item_id, "item_id": call.item_id}
        connection.execute(
            sa.insert(decisions).values(**values, reviewer="ada", verdict=verdict, chosen="yes")
        )
        connection.execute(sa.update(review_items).values(state="decided"))


def test_what_people_let_pass_opens_again_when_somebody_corrects_it(database):
    call = candidate(flags=[{"signal": "refusal", "reason": "…"}])
    queued(database, call)
    decided(database, call, "reject")
    correction = [said("correction", correction="Done.")]
    again = candidate(item_id=call.item_id, call_id=call.call_id, feedback=correction)
    assert queued(database, again).reopened == 1
    assert item(database, call.item_id).state == "open"


def test_what_a_reviewer_corrected_stays_decided(database):
    call = candidate(flags=[{"signal": "refusal", "reason": "…"}])
    queued(database, call)
    decided(database, call, "correct")
    correction = [said("correction", correction="Done.")]
    again = candidate(item_id=call.item_id, call_id=call.call_id, feedback=correction)
    assert queued(database, again).updated == 1
    after = item(database, call.item_id)
    assert (after.state, after.proposed) == ("decided", None)


def test_a_contribution_is_an_item_with_the_answer_proposed(database):
    example = said("contribution", "dev", correction="42")
    feedback_id = example["feedback_id"]
    queued(
        database,
        candidate(item_id=feedback_id, call_id=None, answer=None, release=None, feedback=[example]),
    )
    found = item(database, feedback_id)
    assert (found.call_id, found.answer, found.proposed) == (None, None, "42")
