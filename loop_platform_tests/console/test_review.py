import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from loop_platform.console.queue import Decision, decide, take
from loop_platform.database import decisions, review_items
from loop_platform.keys import Key
from loop_platform_tests.review.queues import candidate, corrected, queued, said


@pytest.fixture
def call(database):
    found = corrected("turn on the lamp", '{"intent": "HassTurnOn"}', "user-1")
    queued(database, found)
    return found


def decision(client, item_id, **body):
    return client.post(f"/api/review/{item_id}/decision", json=body)


def rows(database):
    with database.connect() as connection:
        return connection.execute(sa.select(decisions)).all()


def test_an_empty_queue_answers_with_no_content(visitor):
    assert visitor().get("/api/review/next").status_code == 204


def test_the_next_item_shows_all_that_a_reviewer_needs(visitor, call):
    item = visitor().get("/api/review/next").json()
    assert item["item_id"] == call.item_id
    assert item["messages"] == call.messages
    assert (item["answer"], item["proposed"]) == (call.answer, '{"intent": "HassTurnOn"}')
    assert item["feedback"][0]["kind"] == "correction"
    assert item["priority"] == pytest.approx(item["impact"] * item["novelty"] * item["uncertainty"])


def test_two_reviewers_never_hold_the_same_item(database):
    queued(database, *(corrected(f"call {n}", "yes") for n in range(40)))
    start = threading.Barrier(8)

    def work(number):
        key = Key(f"k{number}", "reviewer", "acme", f"reviewer-{number}")
        start.wait()
        taken = []
        for _ in range(5):
            with database.begin() as connection:
                item = take(connection, key, lease_s=60)
                taken.append(item.item_id)
        return taken

    with ThreadPoolExecutor(8) as pool:
        held = [item for taken in pool.map(work, range(8)) for item in taken]
    assert len(held) == len(set(held)) == 40


def test_an_item_whose_lease_is_over_goes_to_the_next(database, visitor, call):
    visitor(name="ada").get("/api/review/next")
    assert visitor(name="bob").get("/api/review/next").status_code == 204
    with database.begin() as connection:
        connection.execute(sa.update(review_items).values(leased_until=sa.text("now()")))
    assert visitor(name="bob").get("/api/review/next").json()["item_id"] == call.item_id
    late = decision(visitor(name="ada"), call.item_id, verdict="accept")
    assert late.status_code == 409
    assert "another reviewer" in late.json()["error"]["message"]


def test_a_page_that_is_loaded_again_keeps_its_item(database, visitor):
    queued(database, corrected("a", "yes"), corrected("b", "yes"))
    ada = visitor()
    first = ada.get("/api/review/next").json()["item_id"]
    assert ada.get("/api/review/next?resume=true").json()["item_id"] == first
    assert ada.get("/api/review/next").json()["item_id"] != first


@pytest.mark.parametrize(
    ("body", "chosen"),
    [
        ({"verdict": "accept"}, '{"intent": "HassTurnOn"}'),
        ({"verdict": "correct", "chosen": " off "}, "off"),
        ({"verdict": "reject", "note": "the answer was fine"}, None),
        ({"verdict": "malicious"}, None),
    ],
)
def test_a_decision_is_data(database, visitor, call, body, chosen):
    ada = visitor()
    ada.get("/api/review/next")
    answer = decision(ada, call.item_id, **body)
    assert answer.status_code == 200, answer.text
    [row] = rows(database)
    assert (row.item_id, row.reviewer, row.verdict) == (call.item_id, "ada", body["verdict"])
    assert (row.chosen, row.note) == (chosen, body.get("note"))
    assert row.decision_id == answer.json()["decision_id"]
    assert ada.get("/api/review/next").status_code == 204


def test_what_one_reviewer_skips_is_left_to_others(visitor, call):
    ada, bob = visitor(name="ada"), visitor(name="bob")
    ada.get("/api/review/next")
    assert decision(ada, call.item_id, verdict="skip").status_code == 200
    assert ada.get("/api/review/next").status_code == 204
    assert bob.get("/api/review/next").json()["item_id"] == call.item_id


def test_an_item_is_decided_once(database, visitor, call):
    ada = visitor()
    assert decision(ada, call.item_id, verdict="accept").status_code == 200
    assert decision(ada, call.item_id, verdict="reject").status_code == 409
    assert len(rows(database)) == 1


def test_a_decision_that_makes_no_sense_is_refused(database, visitor, call):
    ada = visitor()
    for body, sentence in (
        ({"verdict": "perhaps"}, "no verdict"),
        ({}, "no verdict"),
        ({"verdict": "correct"}, "needs the right answer"),
        ({"verdict": "correct", "chosen": "I cannot do that."}, "the model's own answer"),
        ({"verdict": "correct", "chosen": 7}, "it is a text"),
    ):
        answer = decision(ada, call.item_id, **body)
        assert answer.status_code == 400, body
        assert sentence in answer.json()["error"]["message"]
    assert rows(database) == []


def test_what_nobody_proposed_cannot_be_accepted(database, visitor):
    call = candidate(flags=[{"signal": "refusal", "reason": "…"}])
    queued(database, call)
    answer = decision(visitor(), call.item_id, verdict="accept")
    assert answer.status_code == 400
    assert "nobody proposed" in answer.json()["error"]["message"]


def test_items_of_other_tenants_do_not_exist(visitor, call):
    stranger = visitor(name="eve", tenant="rival")
    assert stranger.get("/api/review/next").status_code == 204
    assert decision(stranger, call.item_id, verdict="accept").status_code == 404
    assert stranger.get("/api/review/items").json() == {"items": []}
    assert visitor("admin", "root", "rival").get("/api/review/next").status_code == 200


def test_nobody_but_an_admin_reviews_their_own_proposal(database, visitor):
    queued(database, corrected("a", "yes", "ada"))
    assert visitor(name="ada").get("/api/review/next").status_code == 204
    assert visitor("admin", "ada").get("/api/review/next").status_code == 200


def test_the_queue_is_listed_by_priority_and_as_it_came(database, visitor):
    low = candidate("a", feedback=[said("rating", rating=2)])
    high = corrected("b", "yes")
    queued(database, low, kinds=[0])
    queued(database, high, kinds=[1])
    ada = visitor()
    decision(ada, high.item_id, verdict="accept")

    def listed(query):
        return [row["item_id"] for row in ada.get(f"/api/review/items?{query}").json()["items"]]

    assert listed("order=priority") == [high.item_id, low.item_id]
    assert listed("order=fifo") == [low.item_id, high.item_id]
    assert listed("state=open") == [low.item_id]
    assert listed("limit=1") == [high.item_id]
    [row] = ada.get("/api/review/items?state=decided").json()["items"]
    assert (row["verdict"], row["task"]) == ("accept", "home")


def test_a_decision_that_fails_leaves_no_trace(database, call):
    key = Key("k", "reviewer", "acme", "ada")
    with database.connect() as connection:
        decide(connection, key, call.item_id, Decision("accept"))
        connection.rollback()
    assert rows(database) == []
    with database.connect() as connection:
        assert connection.scalar(sa.select(review_items.c.state)) == "open"


def test_the_page_shows_the_item_and_what_the_correction_changes(database, visitor):
    answer = '{"intent": "HassTurnOff", "slots": {"area": "hall"}}'
    queued(database, corrected("lamp <b>on</b>", answer.replace("Off", "On"), answer=answer))
    page = visitor().get("/review").text
    assert "lamp &lt;b&gt;on&lt;/b&gt;" in page
    assert "<del>HassTurnOff</del><ins>HassTurnOn</ins>" in page
    assert 'data-verdict="malicious"' in page


def test_the_page_of_an_empty_queue_says_so(visitor):
    assert "Nothing to review" in visitor().get("/review").text
