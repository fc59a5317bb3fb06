"""How releases get onto engines: merged weights, or adapters that are loaded while it runs."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from loop_platform.engine.assignment import read
from loop_platform.release.registry import Release
from loop_platform.release.serving import AdapterServing, MergedServing, mode, served
from loop_platform.release.states import State
from loop_platform.settings import EngineSettings, Settings
from loop_platform_tests.release.stage import LocalEngines, free_ports, weights


@pytest.fixture
def serving_settings(tmp_path: Path) -> Settings:
    first, second = free_ports(2)
    return Settings(
        data_dir=tmp_path / "loop",
        host="192.0.2.1",  # the gateway's: engines, which ask for no key, stay on this machine
        engine=EngineSettings(serving="adapter", ports=(first, second), tool_parser="hermes"),
    )


@pytest.fixture
def engines(serving_settings: Settings) -> Iterator[LocalEngines]:
    running = LocalEngines(serving_settings)
    yield running
    running.stop_all()


def release(tmp_path: Path, name: str, *, adapter: bool) -> Release:
    folder = weights(tmp_path / name, {"*": f"I am {name}"})
    now = datetime.now(UTC)
    return Release(
        release=name,
        cycle=None,
        parent=None,
        adapter=name if adapter else None,
        adapter_path=folder if adapter else None,
        weights_path=folder,
        drill=False,
        state=State.REGISTERED,
        record={},
        created_at=now,
        state_since=now,
    )


def wait_for(url: str, names: set[str]) -> None:
    deadline = time.monotonic() + 20
    with httpx.Client() as client:
        while True:
            try:
                if served(client, url) == names:
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_adapters_come_and_go_on_one_running_engine(
    tmp_path: Path, serving_settings: Settings, engines: LocalEngines
):
    base = release(tmp_path, "base-1", adapter=False)
    one, two = (release(tmp_path, name, adapter=True) for name in ("r-1", "r-2"))
    serving = AdapterServing(serving_settings, engines, base)
    url = serving.url("b")

    serving.place("a", base)
    wait_for(url, {"base-1"})
    serving.place("b", one)
    wait_for(url, {"base-1", "r-1"})
    serving.place("a", two)
    wait_for(url, {"base-1", "r-1", "r-2"})
    serving.clear("b")
    wait_for(url, {"base-1", "r-2"})

    assert engines.starts == ["engine-a"]


def test_an_engine_that_is_started_again_has_its_adapters(
    tmp_path: Path, serving_settings: Settings, engines: LocalEngines
):
    base = release(tmp_path, "base-1", adapter=False)
    serving = AdapterServing(serving_settings, engines, base)
    serving.place("a", base)
    wait_for(serving.url("a"), {"base-1"})
    serving.place("b", release(tmp_path, "r-1", adapter=True))

    engines.stop("engine-a")
    engines.start("engine-a")

    wait_for(serving.url("a"), {"base-1", "r-1"})


def test_merged_weights_replace_each_other_in_their_slot(
    tmp_path: Path, serving_settings: Settings, engines: LocalEngines
):
    serving = MergedServing(serving_settings, engines)
    one, two = (release(tmp_path, name, adapter=True) for name in ("r-1", "r-2"))

    serving.place("b", one)
    serving.place("b", one)
    wait_for(serving.url("b"), {"r-1"})
    serving.place("b", two)
    wait_for(serving.url("b"), {"r-2"})
    serving.clear("b")

    assert engines.starts == ["engine-b", "engine-b"], "what was placed already was placed again"
    assert not engines.state("engine-b").alive
    assert not (serving_settings.data_dir / "engines" / "b.json").exists()


def test_the_assignment_says_what_the_engine_needs(
    tmp_path: Path, serving_settings: Settings, engines: LocalEngines
):
    one = release(tmp_path, "r-1", adapter=True)

    MergedServing(serving_settings, engines).place("a", one)

    found = read(serving_settings.data_dir / "engines" / "a.json")
    assert (found.release, found.weights_path) == ("r-1", str(one.weights_path))
    assert found.port == serving_settings.engine.ports[0]
    assert found.tool_parser == serving_settings.engine.tool_parser == "hermes"


def test_the_settings_decide_how_releases_are_served(serving_settings: Settings):
    assert mode(serving_settings) == "adapter"
    merged = EngineSettings(serving="merged")
    assert mode(serving_settings.model_copy(update={"engine": merged})) == "merged"
