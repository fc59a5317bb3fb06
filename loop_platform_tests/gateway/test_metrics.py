"""What Prometheus sees: the same sums at every worker."""

import contextlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from loop_platform import migrations
from loop_platform.database import database_url, segments
from loop_platform.gateway.tallies import Tallies
from loop_platform.keys import limit
from loop_platform.observer.observer import Observer
from loop_platform.settings import Settings
from loop_platform.stack import postgres
from loop_platform_tests.gateway.engine_peer import EnginePeer
from loop_platform_tests.gateway.loop import Loop, eventually, in_the_future
from loop_platform_tests.gateway.serving import serving
from loop_platform_tests.gateway.test_faults import gateway_process
from loop_platform_tests.gateway.test_journal import room_for

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(loop: Loop, key: str) -> Samples:
    response = loop.client.get("/metrics", headers={"authorization": f"Bearer {key}"})
    assert response.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(
        value
        for (found, of), value in samples.items()
        if found == name and labels.items() <= dict(of).items()
    )


@pytest.fixture
def admin(loop: Loop) -> str:
    callers = loop.client.headers["authorization"]
    key = loop.key(role="admin", name="prometheus")
    loop.client.headers["authorization"] = callers
    return key


def test_what_callers_did_is_in_the_metrics(loop: Loop, admin: str, database: sa.Engine):
    loop.chat()
    loop.chat("fail")
    loop.stream(metadata={"task": "weather"})
    eventually(lambda: len(loop.calls()) == 3)
    loop.parts.journal.seal(everything=True)  # type: ignore[union-attr]  # the gateway runs
    loop.parts.shipper.ship()  # type: ignore[union-attr]
    observer = Observer(loop.settings, database)

    def counted() -> bool:
        observer.count()
        return total(scraped(loop, admin), "loop_gateway_requests_total") == 3

    eventually(counted)
    samples = scraped(loop, admin)
    of = {"task": "default", "release": "r-1", "route": "champion"}
    assert total(samples, "loop_gateway_requests_total", **of, status="200") == 1
    assert total(samples, "loop_gateway_requests_total", **of, status="500") == 1
    weather = of | {"task": "weather"}
    assert total(samples, "loop_gateway_time_to_first_byte_seconds_count", **weather) == 1
    assert total(samples, "loop_gateway_latency_seconds_count", **of) == 2
    assert total(samples, "loop_gateway_latency_seconds_bucket", **of, le="+Inf") == 2
    assert total(samples, "loop_gateway_tokens_total", **weather, kind="prompt") == 7
    assert total(samples, "loop_journal_waiting_segments") == 0
    assert total(samples, "loop_database_up") == 1
    buckets = [
        value
        for (name, labels), value in samples.items()
        if name == "loop_gateway_latency_seconds_bucket" and dict(labels)["task"] == "default"
    ]
    assert buckets == sorted(buckets), "they are cumulative"


def test_every_worker_shows_the_sum_of_all(loop: Loop, admin: str, database: sa.Engine):
    with gateway_process(loop, workers=2), ThreadPoolExecutor(8) as callers:
        answers = [callers.submit(loop.chat) for _ in range(40)]
        assert {answer.result().status_code for answer in answers} == {200}
    observer = Observer(loop.settings, database)
    eventually(lambda: len(loop.calls()) == 40)

    def counted() -> bool:
        observer.count()
        with loop.database.connect() as connection:
            left = connection.scalar(sa.select(sa.func.count()).where(~segments.c.counted))
        return not left and total(scraped_here(loop, admin), "loop_gateway_requests_total") == 40

    eventually(counted)


def scraped_here(loop: Loop, key: str) -> Samples:
    with loop.gateway():
        return scraped(loop, key)


def test_shadow_copies_and_lost_records_of_each_worker_add_up(
    loop: Loop, admin: str, database: sa.Engine
):
    shadow = EnginePeer("r-2")
    with serving(shadow) as url:
        loop.route(
            champion="r-1",
            champion_url=_champion(database),
            shadow="r-2",
            shadow_url=url,
            shadow_share=1.0,
            lease_until=in_the_future(60),
        )
        loop.chat()
        eventually(
            lambda: total(scraped(loop, admin), "loop_shadow_copies_total", outcome="mirrored") == 1
        )
        with room_for(2000):
            loop.chat("x" * 3000)
        eventually(lambda: total(scraped(loop, admin), "loop_journal_unwritten_total") >= 1)
        with loop.gateway():  # another worker goes on from there
            loop.chat()
            eventually(
                lambda: (
                    total(scraped(loop, admin), "loop_shadow_copies_total", outcome="mirrored") == 2
                )
            )


def test_what_a_worker_dropped_is_told_once_whatever_the_database_does(
    loop: Loop, admin: str, monkeypatch: pytest.MonkeyPatch
):
    assert loop.parts is not None
    parts = loop.parts
    worker = Tallies(loop.database, parts.mirror, parts.journal, parts.redactors, parts.allowances)
    loop.parts.tallies.stop()
    loop.parts.mirror.counts.dropped += 3
    with monkeypatch.context() as away:
        away.setattr(
            worker, "_database", sa.create_engine("postgresql+psycopg2://nobody@/no?host=/no")
        )
        with pytest.raises(sa.exc.OperationalError):
            worker.tell()
    worker.tell()
    worker.tell()
    assert total(scraped(loop, admin), "loop_shadow_copies_total", outcome="dropped") == 3


def test_calls_that_met_a_limit_are_counted_by_whose_it_was(loop: Loop, admin: str):
    key_id = loop.key("caller").split("_")[1]
    with loop.database.begin() as connection:
        limit(connection, key_id, 2, None)
    eventually(lambda: loop.chat().status_code == 429)
    refused = 1 + sum(loop.chat().status_code == 429 for _ in range(3))
    labels = {"subject": "key", "unit": "requests"}
    eventually(
        lambda: total(scraped(loop, admin), "loop_gateway_limited_total", **labels) == refused
    )


def _champion(database: sa.Engine) -> str:
    with database.connect() as connection:
        url = connection.scalar(sa.text("SELECT champion_url FROM routes"))
    assert isinstance(url, str)
    return url


def test_the_metrics_need_an_admins_key(loop: Loop):
    assert loop.client.get("/metrics").status_code == 403
    assert loop.client.get("/metrics", headers={"authorization": ""}).status_code == 401


def test_openmetrics_is_answered_to_who_asks_for_it(loop: Loop, admin: str):
    wanted = {"authorization": f"Bearer {admin}", "accept": "application/openmetrics-text"}
    response = loop.client.get("/metrics", headers=wanted)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_every_line_of_the_gateways_log_is_json_where_that_is_wanted(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("LOOP_EXPORT__LOG_FORMAT", "json")
    with gateway_process(loop, workers=2):
        assert loop.chat().status_code == 200
    lines = capfd.readouterr().err.splitlines()
    messages = [json.loads(line)["message"] for line in lines]
    assert any("Uvicorn running on" in message for message in messages)


def test_while_the_database_is_away_the_journal_is_still_shown(champion: EnginePeer):
    with tempfile.TemporaryDirectory(prefix="loop-metrics-") as name:
        settings = Settings(data_dir=Path(name))
        database = sa.create_engine(database_url(settings), pool_pre_ping=True)
        loop = Loop(settings, database)
        with contextlib.ExitStack() as gateway:
            with postgres.running(settings.data_dir):
                migrations.upgrade(database)
                admin = loop.key(role="admin")
                loop.route(champion="r-1", champion_url=champion.url)
                gateway.enter_context(loop.gateway())
                assert total(scraped(loop, admin), "loop_database_up") == 1
            loop.chat()
            away = scraped(loop, admin)
        assert total(away, "loop_database_up") == 0
        assert total(away, "loop_journal_waiting_segments") == 1
        assert total(away, "loop_journal_waiting_bytes") > 100
        assert total(away, "loop_journal_lag_seconds") > 0
        assert not any(name.startswith("loop_gateway") for name, _ in away)
        database.dispose()
