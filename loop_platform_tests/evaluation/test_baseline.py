"""The champion on the suites, before any candidate is there."""

import dagster as dg
import polars as pl

from loop_platform.defs.evaluation.baseline import baseline
from loop_platform.defs.evaluation.offline import offline
from loop_platform.defs.evaluation.sensors import champion_changed
from loop_platform.defs.resources import LoopResource, resources
from loop_platform.lake import Lake
from loop_platform_tests.evaluation.cycle import candidate, learnt, materialise
from loop_platform_tests.release.stage import Stage
from loop_platform_tests.release.test_controller import base_of, ready


def ask(stage: Stage, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [baseline], resources=resources(stage.settings), instance=instance, raise_on_error=False
    )


def tick(stage: Stage, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_sensor_context(
        instance=instance, resources={"loop": LoopResource.of(stage.settings)}
    )
    found = champion_changed(context)
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


def test_the_champions_answers_are_kept_with_whether_it_agrees_and_is_safe(
    stage: Stage, instance: dg.DagsterInstance
):
    champion = base_of(stage)

    result = ask(stage, instance)

    [made] = result.asset_materializations_for_node("evaluation__baseline")
    assert made.metadata["champion"].value == champion
    rows = Lake(stage.settings.lake).read("evaluation/baseline.parquet")
    assert dict(rows.group_by("suite").len().iter_rows()) == {"retention": 28, "safety": 12}
    assert rows.filter(pl.col("suite") == "retention")["agrees"].all()


def test_a_new_champion_is_asked_once(stage: Stage, instance: dg.DagsterInstance):
    champion = base_of(stage)

    first = tick(stage, instance)
    ask(stage, instance)
    second = tick(stage, instance)

    assert isinstance(first, dg.RunRequest)
    assert first.run_key == champion
    assert isinstance(second, dg.SkipReason)
    assert second.skip_message == f"champion {champion} has been asked"


def test_a_candidate_is_compared_with_what_is_known(stage: Stage, instance: dg.DagsterInstance):
    candidate(stage, learnt())
    ask(stage, instance)

    result = materialise(stage, offline, instance)

    [made] = result.asset_materializations_for_node("evaluation__offline")
    assert made.metadata["answers known beforehand"].value == 28 + 12


def test_a_champion_that_is_away_fails_the_run_and_keeps_nothing(
    stage: Stage, instance: dg.DagsterInstance
):
    champion = base_of(stage)
    stage.engines.stop("engine-a")
    stage.until(lambda connection: not ready(champion)(connection))

    result = ask(stage, instance)

    assert not result.success
    assert not Lake(stage.settings.lake).exists("evaluation/baseline.parquet")
