"""Feedback and contributions: taken at once, refused with a reason."""

import sqlalchemy as sa

from loop_platform.defs.telemetry.rows import feedback_rows
from loop_platform.identity import hour_of, new_id
from loop_platform.records import Contribution, Feedback
from loop_platform.settings import RetentionSettings, Settings
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop
from loop_platform_tests.gateway.test_journal import room_for


def given(loop: Loop, call_id: str, **body: object):
    return loop.client.post("/v1/feedback", json={"call_id": call_id} | body)


KINDS = [("rating", 1), ("correction", "the right answer"), ("outcome", False), ("report", "rude")]


def test_every_kind_of_feedback_works_the_instant_a_call_was_answered(loop: Loop):
    for kind, value in KINDS:
        call_id = loop.chat().headers["x-loop-call-id"]
        response = given(loop, call_id, kind=kind, user="eve", comment="hm", **{kind: value})
        assert response.status_code == 202
        feedback = [r for r in loop.records() if isinstance(r, Feedback)][-1]
        assert feedback.feedback_id == response.json()["feedback_id"]
        assert (feedback.call_id, feedback.tenant, feedback.contributor) == (
            call_id,
            "acme",
            "ada/eve",
        )
        assert (feedback.kind, getattr(feedback, kind), feedback.comment) == (kind, value, "hm")


def test_feedback_works_on_a_call_of_before_the_restart(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    with loop.gateway():
        assert given(loop, call_id.upper(), kind="rating", rating=4).status_code == 202
    assert [r.call_id for r in loop.records() if isinstance(r, Feedback)] == [call_id]


def test_feedback_on_a_call_that_never_was_is_refused(loop: Loop):
    for call_id in (new_id(), "no-id", "", "\u0660"):
        response = given(loop, call_id, kind="rating", rating=4)
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "call_not_found"


def test_feedback_on_another_tenants_call_is_refused(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    loop.key(tenant="other")
    assert given(loop, call_id, kind="rating", rating=4).status_code == 404


def test_a_feedbacks_id_is_no_calls(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    feedback_id = given(loop, call_id, kind="rating", rating=4).json()["feedback_id"]
    assert given(loop, feedback_id, kind="rating", rating=4).status_code == 404


UNCLEAR: list[dict[str, object]] = [
    {},
    {"kind": "rating"},
    {"kind": "rating", "rating": 6},
    {"kind": "rating", "rating": "5"},
    {"kind": "rating", "rating": 5, "correction": "x"},
    {"kind": "correction", "correction": "  "},
    {"kind": "correction", "correction": "a\0b"},
    {"kind": "applause"},
    {"kind": "outcome", "outcome": "yes"},
    {"kind": "rating", "rating": 5, "stars": 5},
    {"kind": "rating", "rating": 5, "user": "x" * 300},
]


def test_feedback_that_says_nothing_clear_is_refused(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    for body in UNCLEAR:
        response = given(loop, call_id, **body)
        assert response.status_code == 400, body
        assert response.json()["error"]["message"]


def test_a_correction_of_10_mb_is_refused(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    response = given(loop, call_id, kind="correction", correction="x" * 10_000_000)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_a_contribution_is_taken(loop: Loop):
    messages = [{"role": "user", "content": "what is 2+2?"}]
    body = {"task": "sums", "messages": messages, "answer": "4"}
    response = loop.client.post("/v1/contributions", json=body)
    assert response.status_code == 202
    (contribution,) = [r for r in loop.records() if isinstance(r, Contribution)]
    assert contribution.feedback_id == response.json()["feedback_id"]
    assert (contribution.task, contribution.messages) == ("sums", messages)
    assert (contribution.answer, contribution.contributor) == ("4", "ada")


TEACHING_NOTHING: list[dict[str, object]] = [
    {"messages": []},
    {"messages": [{"role": "assistant", "content": "4"}]},
    {"messages": [{"role": "king", "content": "hi"}]},
    {"messages": [{"role": "user"}]},
    {"answer": ""},
    {"task": ""},
]


def test_a_contribution_that_teaches_nothing_is_refused(loop: Loop):
    body = {"task": "sums", "messages": [{"role": "user", "content": "2+2?"}], "answer": "4"}
    for change in TEACHING_NOTHING:
        response = loop.client.post("/v1/contributions", json=body | change)
        assert response.status_code == 400, change


def test_feedback_can_be_followed_from_its_first_moment(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    feedback_id = given(loop, call_id, kind="rating", rating=4).json()["feedback_id"]
    response = loop.client.get(f"/v1/feedback/{feedback_id}")
    assert response.status_code == 200
    assert response.json()["feedback_id"] == feedback_id
    assert response.json()["state"] == "received"
    loop.key(tenant="other")
    assert loop.client.get(f"/v1/feedback/{feedback_id}").status_code == 404
    assert loop.client.get("/v1/feedback/nonsense").status_code == 404


def test_feedback_on_a_call_older_than_the_retention_is_refused(
    settings: Settings, database: sa.Engine, champion: EnginePeer
):
    kept = RetentionSettings(days=365, days_by_tenant={"acme": 1e-9})
    loop = Loop(settings.model_copy(update={"retention": kept}), database)
    loop.route(champion="r-1", champion_url=champion.url)
    with loop.gateway():
        for tenant, status in (("acme", 410), ("other", 202)):
            loop.key(tenant=tenant)
            call_id = loop.chat().headers["x-loop-call-id"]
            response = given(loop, call_id, kind="rating", rating=4)
            assert response.status_code == status
            if status == 410:
                assert response.json()["error"]["code"] == "call_expired"


def test_what_is_sent_again_under_its_name_counts_once(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    first, again, other = (
        given(loop, call_id, kind="rating", rating=rating, id=name)
        for rating, name in ((4, "vote-1"), (1, "vote-1"), (4, "vote-2"))
    )
    assert [r.status_code for r in (first, again, other)] == [202] * 3
    assert first.json() == again.json() != other.json()
    journalled = _lines(loop)
    assert [said.rating for said in journalled] == [4, 1, 4]
    rows = feedback_rows(journalled, "segment")
    assert sorted(rows["rating"].to_list()) == [4, 4]  # what came first counts
    assert set(rows["hour"]) == {hour_of(call_id)}
    feedback_id = first.json()["feedback_id"]
    assert loop.client.get(f"/v1/feedback/{feedback_id}").status_code == 200


def test_a_name_holds_on_every_worker_and_for_its_owner_alone(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    body = {"task": "sums", "messages": [{"role": "user", "content": "2+2?"}], "answer": "4"}

    def both() -> tuple[str, str]:
        contributed = loop.client.post("/v1/contributions", json=body | {"id": "one"})
        rated = given(loop, call_id, kind="rating", rating=4, id="one")
        return contributed.json()["feedback_id"], rated.json()["feedback_id"]

    first = both()
    with loop.gateway():
        assert both() == first
    with loop.gateway():
        loop.key(name="eve")
        others = both()
    assert not {*first} & {*others}


def test_a_batch_takes_what_can_be_taken_and_says_so_of_each_item(loop: Loop):
    ours = [loop.chat().headers["x-loop-call-id"] for _ in range(2)]
    mine = loop.client.headers["authorization"]
    loop.key(tenant="other")
    foreign = loop.chat().headers["x-loop-call-id"]
    loop.client.headers["authorization"] = mine
    response = loop.client.post(
        "/v1/feedback/batch",
        json=[
            {"call_id": ours[0], "kind": "rating", "rating": 5},
            {"call_id": foreign, "kind": "rating", "rating": 5},
            {"call_id": ours[1], "kind": "rating", "rating": 9},
            {"call_id": ours[1], "kind": "correction", "correction": "so", "id": "a"},
            {"call_id": ours[1], "kind": "correction", "correction": "so", "id": "a"},
            "nonsense",
        ],
    )
    assert response.status_code == 202
    told = response.json()
    assert (told["accepted"], told["refused"]) == (3, 3)
    assert [item["status"] for item in told["items"]] == [202, 404, 400, 202, 202, 400]
    assert told["items"][1]["error"]["code"] == "call_not_found"
    assert told["items"][2]["error"]["param"] == "rating"
    accepted = [item["feedback_id"] for item in told["items"] if "feedback_id" in item]
    assert {said.feedback_id for said in _lines(loop)} == {*accepted}
    assert accepted[1] == accepted[2] != accepted[0]


def test_contributions_come_in_batches_too(loop: Loop):
    body = {"task": "sums", "messages": [{"role": "user", "content": "2+2?"}], "answer": "4"}
    response = loop.client.post("/v1/contributions/batch", json=[body, body | {"answer": ""}])
    assert [item["status"] for item in response.json()["items"]] == [202, 400]
    (taken,) = [r for r in loop.records() if isinstance(r, Contribution)]
    assert taken.feedback_id == response.json()["items"][0]["feedback_id"]


def test_a_batch_of_nothing_or_too_much_is_refused(loop: Loop):
    for batch in ([], [{}] * 1001, {}):
        assert loop.client.post("/v1/feedback/batch", json=batch).status_code == 400


def test_of_a_batch_that_fills_the_disk_each_item_says_whether_it_is_there(loop: Loop):
    call_id = loop.chat().headers["x-loop-call-id"]
    item = {"call_id": call_id, "kind": "report", "report": "x" * 900}
    with room_for(3000):
        told = loop.client.post("/v1/feedback/batch", json=[item] * 5).json()
    assert {one["status"] for one in told["items"]} == {202, 503}
    assert len(_lines(loop)) == told["accepted"]


def _lines(loop: Loop) -> list[Feedback]:
    """Every line of feedback in the journal, in the order of their arrival."""
    return sorted(loop.lines(Feedback), key=lambda said: said.received_at)
