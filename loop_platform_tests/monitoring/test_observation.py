import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import sqlalchemy as sa

from loop_platform import manifest
from loop_platform.defs.monitoring.observation import Reference
from loop_platform.defs.monitoring.observation import observe as observe_calls
from loop_platform.defs.telemetry.rows import call_rows
from loop_platform.embedder import Vectors
from loop_platform.identity import hour_of, new_id
from loop_platform.lake import Lake
from loop_platform.tables import schema
from loop_platform_tests.monitoring.conftest import Materialise
from loop_platform_tests.segments import a_call, ship

ROOMS = ["kitchen", "hall", "bedroom", "garage", "office", "attic", "cellar"]
COMMANDS = ["Turn on the light in the {}", "Switch off the {} lamp", "Is the {} door open?"]


def command(seed: int) -> str:
    chosen = random.Random(seed)
    return f"{chosen.choice(COMMANDS).format(chosen.choice(ROOMS))} {seed % 7}"


def _signals(database: sa.Engine, lake: Lake) -> pl.DataFrame:
    with database.connect() as connection:
        return manifest.signals(connection, lake).collect()


def test_every_call_gets_a_row_of_signals(
    database: sa.Engine, lake: Lake, observe: Materialise
) -> None:
    system = {"role": "system", "content": "Reply in JSON"}
    request = {"messages": [system, {"role": "user", "content": "Light on"}]}
    asked = a_call(answer="no", request=msgspec.Raw(json.dumps(request).encode()))
    ship(database, lake, [a_call(), asked, a_call(route="shadow")])
    result = observe(hour_of(new_id()))
    assert result.get_asset_check_evaluations()[0].passed
    rows = _signals(database, lake)
    assert rows.height == 3
    assert rows["embedding"].list.len().to_list() == [384] * 3
    flags = dict(zip(rows["call_id"], rows["flags"], strict=True))
    assert json.loads(flags[asked.call_id]) == [
        {"signal": "format_validity", "reason": "not in the format that was asked for"}
    ]
    assert list(flags.values()).count("[]") == 2
    with database.connect() as connection:
        assert manifest.pending_hours(connection) == {}


def test_a_prompt_unlike_those_before_it_is_novel(
    database: sa.Engine, lake: Lake, observe: Materialise
) -> None:
    ship(database, lake, [a_call(command(seed)) for seed in range(60)])
    observe(hour_of(new_id()))
    strange = a_call("Explain the causes of the French revolution")
    known = a_call(command(3))
    ship(database, lake, [strange, known])
    observe(hour_of(new_id()))
    rows = {row["call_id"]: row for row in _signals(database, lake).to_dicts()}
    assert "novelty" in rows[strange.call_id]["flags"]
    assert rows[known.call_id]["novelty"] < 0.01


def test_only_new_segments_are_observed_and_the_files_of_old_ones_stay(
    database: sa.Engine, lake: Lake, observe: Materialise
) -> None:
    hour = hour_of(new_id())
    ship(database, lake, [a_call()])
    observe(hour)
    folder = Path(lake.path("monitoring/signals", hour.replace(":", "")))
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*.parquet")}
    ship(database, lake, [a_call()])
    result = observe(hour)
    (made,) = result.asset_materializations_for_node("monitoring__signals")
    assert made.metadata["calls"].value == 1
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert _signals(database, lake).height == 2


def test_no_prompt_and_no_answer_is_in_the_metadata(
    database: sa.Engine, lake: Lake, observe: Materialise
) -> None:
    ship(database, lake, [a_call("My secret is tulip", "Your secret is tulip")])
    result = observe(hour_of(new_id()))
    assert "tulip" not in str(
        [event for event in result.all_events if event.is_step_materialization]
    )


def test_signals_rebuilt_from_the_same_calls_have_the_same_bytes(
    database: sa.Engine, lake: Lake, observe: Materialise
) -> None:
    then = datetime.now(UTC).replace(minute=0) - timedelta(hours=3)
    hour = then.strftime("%Y-%m-%d-%H:00")
    for minute in range(3):
        start = int((then + timedelta(minutes=minute)).timestamp() * 1000)
        at = [new_id(start + 10 * seed) for seed in range(40)]
        ship(database, lake, [a_call(command(n), call_id=call_id) for n, call_id in enumerate(at)])
        observe(hour)
    (path,) = {part.path for part in _parts(database, hour)}
    before = lake.read_bytes(path)
    observe(hour, rebuild=True)
    assert {part.path for part in _parts(database, hour)} == {path}
    assert lake.read_bytes(path) == before


def _parts(database: sa.Engine, hour: str) -> list[manifest.Part]:
    with database.connect() as connection:
        return manifest.parts_of(connection, "monitoring/signals", hour)


class _Counting:
    """An embedder of two dimensions that remembers what it was given."""

    dimensions = 2

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: list[str]) -> Vectors:
        self.texts += texts
        return np.ones((len(texts), 2), np.float32)


def test_a_share_of_each_task_is_embedded_and_no_text_twice() -> None:
    calls = [a_call(f"chat {n}") for n in range(100)]
    calls += [a_call("the same", task="home") for _ in range(10)]
    counting = _Counting()
    nothing = Reference.of(pl.DataFrame(schema=schema("monitoring/signals")), 100)
    rows = observe_calls(call_rows(calls, "segment"), nothing, counting, share=0.25)
    embedded = rows.filter(pl.col("embedding").is_not_null()).group_by("task").len()
    assert dict(embedded.iter_rows()) == {"chat": 25, "home": 3}
    assert len(counting.texts) == 26
