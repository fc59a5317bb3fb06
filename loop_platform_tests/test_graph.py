"""The graph is complete: what every asset owes the people who live in the UI."""

import dagster as dg
import pytest

from loop_platform.definitions import defs

STAGES = {
    "telemetry",
    "monitoring",
    "review",
    "curation",
    "training",
    "evaluation",
    "release",
    "ecosystem",
}
# Whatever a later stage trusts without looking again.
CURATED = {
    dg.AssetKey(["telemetry", "calls"]),
    dg.AssetKey(["curation", "corrections"]),
    dg.AssetKey(["training", "adapter"]),
    dg.AssetKey(["evaluation", "offline"]),
}
EXPECTED = {
    "telemetry/calls",
    "telemetry/feedback",
    "monitoring/signals",
    "monitoring/drift_report",
    "review/candidates",
    "curation/corrections",
    "training/adapter",
    "evaluation/offline",
    "evaluation/shadow",
    "release/canary",
    "release/watch",
    "release/release",
    "ecosystem/metrics",
}


def _specs() -> list[dg.AssetSpec]:
    return sorted(defs().resolve_all_asset_specs(), key=lambda spec: spec.key)


@pytest.mark.parametrize("spec", _specs(), ids=lambda spec: spec.key.to_user_string())
def test_every_asset_tells_who_owns_it_and_what_it_holds(spec: dg.AssetSpec) -> None:
    assert spec.group_name in STAGES
    assert spec.key.path[0] == spec.group_name, "an asset's folder, key prefix and group agree"
    assert spec.owners, "an asset has an owner"
    assert spec.kinds, "an asset says what it is made with"
    assert spec.description
    assert len(spec.description) > 20, "the description tells a stranger what is stored"


def test_the_loop_has_all_its_stations() -> None:
    assert {spec.key.to_user_string() for spec in _specs()} >= EXPECTED


def test_every_curated_asset_has_a_blocking_check() -> None:
    graph = defs().resolve_asset_graph()
    blocking = {key.asset_key for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking >= CURATED


def test_the_graph_reads_as_the_loop() -> None:
    """From the calls, every later station is downstream, but for what the champion shows of itself:
    it comes out of the graph's far end."""
    graph = defs().resolve_asset_graph()
    later = graph.get_all_asset_keys() - {dg.AssetKey(["telemetry", "calls"])}
    reached: set[dg.AssetKey] = set()
    frontier = [dg.AssetKey(["telemetry", "calls"])]
    while frontier:
        for child in graph.get(frontier.pop()).child_keys - reached:
            reached.add(child)
            frontier.append(child)
    roots = {dg.AssetKey(["telemetry", "feedback"]), dg.AssetKey(["evaluation", "baseline"])}
    assert later - reached <= roots


def test_every_sensor_starts_by_itself() -> None:
    for sensor in defs().sensors or []:
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING, sensor.name  # type: ignore[union-attr]


def test_the_definitions_load() -> None:
    dg.Definitions.validate_loadable(defs())
