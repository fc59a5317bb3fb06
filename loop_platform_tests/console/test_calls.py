import json

import pytest
import sqlalchemy as sa

from loop_platform.database import review_items
from loop_platform.lake import Lake
from loop_platform_tests.review.lakes import arrived, call, signal
from loop_platform_tests.review.queues import candidate, queued, said


@pytest.fixture
def calls(database, settings):
    lake = Lake(settings.lake)
    lamp = call("turn on the LAMP (hall)", user="ann")
    rude = call("tell a joke", task="chat", answer="No.", release="r-2")
    alien = call("turn on the lamp (hall)", tenant="rival")
    mirrored = call("tell a joke", route="shadow", pair_id=rude["call_id"], answer="Knock knock.")
    arrived(database, lake, "telemetry/calls", lamp, rude, alien, mirrored)
    signals = [signal(lamp, None), signal(rude, None, "refusal"), signal(mirrored, None)]
    arrived(database, lake, "monitoring/signals", *signals)
    return {"lamp": lamp["call_id"], "rude": rude["call_id"], "alien": alien["call_id"]}


def found(client, query):
    answer = client.get(f"/api/calls?{query}")
    assert answer.status_code == 200, answer.text
    return {row["call_id"] for row in answer.json()["calls"]}


def test_calls_are_found_by_what_is_known_of_them(visitor, calls):
    ada = visitor()
    assert found(ada, f"id={calls['lamp']}") == {calls["lamp"]}
    assert found(ada, "user=ann") == {calls["lamp"]}
    assert found(ada, "task=chat&release=r-2") == {calls["rude"]}
    assert found(ada, "flag=refusal") == {calls["rude"]}
    assert found(ada, "text=lamp (hall)") == {calls["lamp"]}
    assert found(ada, "text=knock") != set()
    assert found(ada, "text=.*") == set()
    assert len(found(ada, "limit=1")) == 1


def test_calls_of_other_tenants_are_not_found(visitor, calls):
    ada = visitor()
    assert calls["alien"] not in found(ada, "")
    assert ada.get(f"/calls/{calls['alien']}").status_code == 404
    assert calls["alien"] in found(visitor("admin", "root"), "")


def test_one_call_is_shown_whole(database, visitor, calls):
    correction = [said("correction", "bob", correction="Why did the lamp…")]
    queued(database, candidate(item_id=calls["rude"], call_id=calls["rude"], feedback=correction))
    with database.begin() as connection:
        connection.execute(sa.update(review_items).values(answer="No."))
    page = visitor().get(f"/calls/{calls['rude']}").text
    for shown in ("tell a joke", "No.", "Knock knock.", "it shows refusal", "bob proposes"):
        assert shown in page


@pytest.mark.parametrize("call_id", ["nonsense", "01a20bc5-b871-7341-aba6-aa9e96fcadda"])
def test_a_call_that_is_not_there_is_said_to_be_missing(visitor, calls, call_id):
    assert visitor().get(f"/calls/{call_id}").status_code == 404
    assert found(visitor(), f"id={call_id}") == set()


def test_messages_come_as_they_were_sent(visitor, calls):
    [row] = visitor().get(f"/api/calls?id={calls['lamp']}").json()["calls"]
    assert row["messages"] == [{"role": "user", "content": "turn on the LAMP (hall)"}]
    assert json.dumps(row["flags"]) == "[]"
