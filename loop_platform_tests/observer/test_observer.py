"""Every call counts once and is one span, whatever breaks and however many look."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from loop_platform.database import segments
from loop_platform.lake import Lake
from loop_platform.logs import JsonLines
from loop_platform.observer import measures
from loop_platform.observer.counting import OTHER_TASKS
from loop_platform.observer.observer import Observer
from loop_platform.observer.spans import CollectorAwayError
from loop_platform.observer.sums import Sums, labels_of, read
from loop_platform.settings import ExportSettings, Settings
from loop_platform.sources.genai_spans import recorded
from loop_platform_tests.gateway.loop import eventually
from loop_platform_tests.gateway.serving import serving
from loop_platform_tests.observer.collector import Collector
from loop_platform_tests.segments import a_call, a_contribution, a_feedback, ship

OF = {"task": "chat", "release": "base-1", "route": "champion"}


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake)


@pytest.fixture
def observer(settings: Settings, database: sa.Engine) -> Observer:
    return Observer(settings, database)


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    app = Collector()
    with serving(app) as url:
        yield app, f"{url}/v1/traces"


def exporting(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"export": ExportSettings(otlp_traces=url)})


def value(database: sa.Engine, name: str, **labels: object) -> float:
    with database.connect() as connection:
        found = read(connection).get(name, {})
    wanted = {key: str(one) for key, one in labels.items()}
    return sum(v for text, v in found.items() if wanted.items() <= labels_of(text).items())


def test_calls_are_counted_by_task_release_route_and_status(
    observer: Observer, database: sa.Engine, lake: Lake
) -> None:
    good = a_call(prompt_tokens=7, completion_tokens=3, latency_ms=80.0)
    failed = a_call(status=502, complete=False, latency_ms=200_000.0)
    streamed = a_call(streamed=True, first_byte_ms=12.0)
    ship(database, lake, [good, failed, streamed])
    observer.count()
    assert value(database, "loop_gateway_requests", **OF, status=200) == 2
    assert value(database, "loop_gateway_requests", **OF, status=502) == 1
    assert value(database, "loop_gateway_cut_answers", **OF) == 1
    assert value(database, "loop_gateway_tokens", **OF, kind="prompt") == 7
    assert value(database, "loop_gateway_latency_seconds_bucket", **OF, le="0.08") == 2
    assert value(database, "loop_gateway_latency_seconds_bucket", **OF, le="+Inf") == 1
    assert value(database, "loop_gateway_latency_seconds_sum", **OF) == pytest.approx(200.16)
    assert value(database, "loop_gateway_time_to_first_byte_seconds_bucket", le="0.02") == 1
    assert value(database, "loop_gateway_time_to_first_byte_seconds_bucket") == 1


def test_what_did_not_come_through_the_gateway_is_counted_apart(
    observer: Observer, database: sa.Engine, lake: Lake
) -> None:
    call = a_call(source="otlp", route="external", release="imported")
    ship(database, lake, [call, a_feedback(call.call_id), a_contribution()])
    observer.count()
    assert value(database, "loop_gateway_requests") == 0
    assert value(database, "loop_recorded_elsewhere", source="otlp") == 1
    assert value(database, "loop_feedback", kind="correction") == 1
    assert value(database, "loop_feedback", kind="contribution") == 1


def test_many_observers_count_each_call_once(
    settings: Settings, database: sa.Engine, lake: Lake
) -> None:
    for _ in range(12):
        ship(database, lake, [a_call(), a_call()])
    observers = [Observer(settings, database) for _ in range(4)]
    threads = [threading.Thread(target=observer.count) for observer in observers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    observers[0].count()
    assert value(database, "loop_gateway_requests") == 24


def test_a_break_in_the_middle_counts_nothing_twice(
    observer: Observer, database: sa.Engine, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(database, lake, [a_call()])
    write = Sums.write

    def broken(self: Sums, connection: sa.Connection) -> None:
        write(self, connection)
        raise ConnectionError("the database goes away here")

    monkeypatch.setattr(Sums, "write", broken)
    with pytest.raises(ConnectionError):
        observer.count()
    monkeypatch.setattr(Sums, "write", write)
    assert value(database, "loop_gateway_requests") == 0
    observer.count()
    observer.count()
    assert value(database, "loop_gateway_requests") == 1


def test_tasks_beyond_some_number_are_counted_together(
    observer: Observer, settings: Settings, database: sa.Engine, lake: Lake
) -> None:
    ship(database, lake, [a_call(task=f"t{n}") for n in range(205)])
    observer.count()
    assert value(database, "loop_gateway_requests") == 205
    assert value(database, "loop_gateway_requests", task=OTHER_TASKS) == 5
    ship(database, lake, [a_call(task="t3"), a_call(task="new")])
    Observer(settings, database).count()  # another process, which knows what the first counted
    assert value(database, "loop_gateway_requests", task="t3") == 2
    assert value(database, "loop_gateway_requests", task=OTHER_TASKS) == 6


def test_a_measure_takes_its_own_labels_alone() -> None:
    with pytest.raises(ValueError, match="loop_feedback has the labels"):
        Sums().add(measures.FEEDBACK, task="chat")


def test_a_call_is_a_span_with_the_genai_conventions_and_no_content(
    settings: Settings, database: sa.Engine, lake: Lake, collector: tuple[Collector, str]
) -> None:
    app, url = collector
    call = a_call(
        "my secret", prompt_tokens=7, user="zoe", session="s", streamed=True, started_at=1.79e9
    )
    cut = a_call(complete=False, error="the engine broke off")
    elsewhere = a_call(source="otlp", route="external")
    ship(database, lake, [call, cut, elsewhere])
    Observer(exporting(settings, url), database).export()
    spans = {span.attributes["loop.call_id"]: span for span in app.spans}
    assert set(spans) == {call.call_id, cut.call_id}
    assert app.names == ["chat m", "chat m"]
    made = spans[call.call_id]
    told = made.attributes
    assert (told["gen_ai.operation.name"], told["gen_ai.request.model"]) == ("chat", "m")
    assert (told["gen_ai.response.model"], told["loop.release"]) == ("base-1", "base-1")
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (7, 2)
    assert told["gen_ai.response.time_to_first_chunk"] == 0.012
    assert (told["gen_ai.conversation.id"], told["loop.task"]) == ("s", "chat")
    assert made.resource == {"service.name": "loop-gateway"}
    assert made.started_at == 1.79e9
    assert made.ended_at - made.started_at == pytest.approx(0.08, abs=1e-6)
    assert (spans[cut.call_id].failed, spans[cut.call_id].message) == (True, "the engine broke off")
    assert spans[cut.call_id].attributes["error.type"] == "cut"
    assert "my secret" not in repr(app.spans)
    assert "zoe" not in repr(app.spans)
    assert [recorded(span) for span in app.spans] == [None, None]  # no circle


def test_spans_wait_for_a_collector_that_is_away_and_the_counts_do_not(
    settings: Settings, database: sa.Engine, lake: Lake, collector: tuple[Collector, str]
) -> None:
    app, url = collector
    observer = Observer(exporting(settings, url), database)
    ship(database, lake, [a_call()])
    app.away = True
    with pytest.raises(CollectorAwayError, match="takes no spans"):
        observer.export()
    observer.count()
    assert value(database, "loop_gateway_requests") == 1
    app.away = False
    observer.export()
    observer.export()
    assert len(app.spans) == 1
    assert app.asked == 2


def test_nobody_gets_spans_of_the_time_when_nobody_wanted_any(
    settings: Settings, database: sa.Engine, lake: Lake, collector: tuple[Collector, str]
) -> None:
    app, url = collector
    ship(database, lake, [a_call()])
    Observer(settings, database).export()
    later = a_call()
    ship(database, lake, [later])
    Observer(exporting(settings, url), database).export()
    assert [span.attributes["loop.call_id"] for span in app.spans] == [later.call_id]


def test_a_segment_that_is_gone_does_not_hold_up_the_others(
    observer: Observer, database: sa.Engine, lake: Lake
) -> None:
    ship(database, lake, [a_call()])
    with database.connect() as connection:
        lake.remove(connection.scalar(sa.select(segments.c.path)) or "")
    ship(database, lake, [a_call()])
    observer.count()
    assert value(database, "loop_gateway_requests") == 1


def test_calls_are_logged_as_json_where_that_is_wanted(
    settings: Settings, database: sa.Engine, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    call = a_call("my secret", user="zoe")
    ship(database, lake, [call])
    wanted = settings.model_copy(update={"export": ExportSettings(log_calls=True)})
    with caplog.at_level(logging.INFO):
        Observer(wanted, database).count()
    (record,) = [each for each in caplog.records if each.message == "call"]
    line = json.loads(JsonLines().format(record))
    assert (line["call_id"], line["task"], line["status"]) == (call.call_id, "chat", 200)
    assert (line["level"], line["message"]) == ("info", "call")
    assert line["at"].endswith("+00:00")
    assert "my secret" not in json.dumps(line)
    assert "zoe" not in json.dumps(line)


def test_an_exception_is_in_the_json_line() -> None:
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "it %s", ("broke",), info)
    text = JsonLines().format(record)
    assert "\n" not in text
    assert json.loads(text)["message"] == "it broke"
    assert "ValueError: a\nb" in json.loads(text)["exception"]


def test_the_program_counts_until_it_is_stopped(
    settings: Settings, database: sa.Engine, lake: Lake
) -> None:
    ship(database, lake, [a_call()])
    environment = os.environ | {
        "LOOP_DATA_DIR": str(settings.data_dir),
        "LOOP_DATABASE_URL": settings.database_url or "",
        "LOOP_EXPORT__LOG_FORMAT": "json",
        "LOOP_EXPORT__LOG_CALLS": "true",
    }
    command = [sys.executable, "-m", "loop_platform.observer"]
    program = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: value(database, "loop_gateway_requests") == 1, timeout_s=120)
    finally:
        program.terminate()
        _, said = program.communicate(timeout=60)
    assert program.returncode == 0
    assert [json.loads(line)["message"] for line in said.splitlines()] == ["call"]
