import json

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from loop_platform.console.queue import Decision
from loop_platform.database import cycle_corrections, review_items
from loop_platform.defs.curation import due
from loop_platform.defs.curation.accepted import counts
from loop_platform.defs.curation.assets import corrections
from loop_platform.defs.curation.checks import correction_rules
from loop_platform.defs.resources import resources
from loop_platform.lake import Lake
from loop_platform.settings import CurationSettings
from loop_platform_tests.curation.accepting import accepted, crowd, decided
from loop_platform_tests.review.queues import candidate, corrected, vector


@pytest.fixture
def given(settings):
    return settings.model_copy(
        update={"curation": CurationSettings(max_contributor_share=0.2, max_characters=200)}
    )


def opened(database):
    with database.begin() as connection:
        return due.open_improvement(connection, "for the test")


def curate(given, cycle, instance=None):
    """The cycle's frame, and the checks that failed."""
    instance = instance or dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("cycles", [cycle])
    result = dg.materialize(
        [corrections, correction_rules],
        partition_key=cycle,
        resources=resources(given),
        instance=instance,
        raise_on_error=False,
    )
    evaluations = result.get_asset_check_evaluations()
    failed = {found.check_name for found in evaluations if not found.passed}
    return Lake(given.lake).read(f"curation/corrections/{cycle}.parquet"), failed


def split_of(frame, decision_id):
    row = frame.filter(pl.col("decision_id") == decision_id).to_dicts()[0]
    return row["split"], row["reason"]


def test_what_is_fit_is_split_and_what_is_not_is_kept_aside_with_its_reason(database, given):
    fit = accepted(database, *crowd(20))
    [empty] = accepted(database, corrected("empty", "   "))
    [same] = accepted(database, corrected("same", "I cannot do that."))
    [long] = accepted(database, corrected("long", "x" * 300))
    rivals = accepted(database, corrected("rival", "left"), corrected("rival", "right"))
    majority = accepted(database, *(corrected("vote", word) for word in ("yes", "yes", "no")))
    frame, failed = curate(given, opened(database))
    assert failed == set()
    assert {split_of(frame, row)[0] for row in fit} == {"train", "heldout"}
    assert frame.filter(pl.col("split") == "heldout").height == 4
    assert split_of(frame, empty) == ("quarantine", "the chosen answer is empty")
    assert split_of(frame, same)[1] == "the chosen answer is the one that was rejected"
    assert split_of(frame, long)[1] == (
        "conversation and answer are longer than curation.max_characters"
    )
    assert {split_of(frame, row)[0] for row in rivals} == {"quarantine"}
    assert [split_of(frame, row)[0] == "quarantine" for row in majority] == [False, False, True]
    with database.connect() as connection:
        lineage = connection.execute(
            sa.select(cycle_corrections.c.decision_id, cycle_corrections.c.split)
        ).all()
    assert dict(lineage) == dict(frame.select("decision_id", "split").iter_rows())


def test_malicious_and_rejected_corrections_never_enter(database, given):
    accepted(database, *crowd(6))
    bad = accepted(database, corrected("a", "b", "eve"), verdict="malicious")
    bad += accepted(database, corrected("c", "d", "eve"), verdict="reject")
    frame, _ = curate(given, opened(database))
    assert frame.height == 6
    assert not set(bad) & set(frame["decision_id"])


def test_one_loud_contributor_is_deferred_not_dropped(database, given):
    accepted(database, *crowd(16))
    loud = [corrected(f"loud {n}", "buy", "eve") for n in range(40)]
    accepted(database, *loud)
    frame, failed = curate(given, opened(database))
    entered = frame.filter(pl.col("split").is_in(["train", "heldout"]))
    assert failed == set()
    assert entered.filter(pl.col("contributor") == "eve").height == 4
    assert frame.filter(pl.col("split") == "deferred").height == 36
    with database.connect() as connection:
        assert counts(connection) == {"eve": 36}


def test_the_lineage_names_who_spoke_first_where_nobody_proposed(database, given):
    accepted(database, *crowd(6))
    flagged = candidate("d", flags=[{"signal": "refusal", "reason": "…"}])
    [own] = decided(database, [flagged], [vector(0, of=384)], Decision("correct", "Done."))
    frame, _ = curate(given, opened(database))
    row = frame.filter(pl.col("decision_id") == own).to_dicts()[0]
    assert (row["contributor"], row["feedback_id"]) == ("reviewer:ada", None)
    assert (row["chosen"], row["rejected"]) == ("Done.", "I cannot do that.")
    assert json.loads(row["messages"]) == [{"role": "user", "content": "d"}]


def test_a_cycle_uses_no_correction_of_another(database, given):
    accepted(database, *crowd(8))
    first, _ = curate(given, opened(database))
    accepted(database, *crowd(8, start=8))
    second, _ = curate(given, opened(database))
    assert not set(first["decision_id"]) & set(second["decision_id"])


def test_curating_a_cycle_again_gives_the_same_rows(database, given):
    accepted(database, *crowd(8))
    cycle, instance = opened(database), dg.DagsterInstance.ephemeral()
    first, _ = curate(given, cycle, instance)
    accepted(database, *crowd(8, start=8))
    again, _ = curate(given, cycle, instance)
    assert again.equals(first)


def test_a_drill_has_the_rows_of_the_cycle_it_drills(database, given):
    accepted(database, *crowd(8))
    cycle, instance = opened(database), dg.DagsterInstance.ephemeral()
    first, _ = curate(given, cycle, instance)
    with database.begin() as connection:
        drill = due.open_drill(connection, cycle)
    same, failed = curate(given, drill, instance)
    assert (drill, failed) == (f"{cycle}-drill", set())
    assert same.equals(first)


def test_rows_that_are_all_alike_are_not_trained_on(database, given):
    accepted(database, *crowd(6))
    with database.begin() as connection:
        connection.execute(sa.update(review_items).values(embedding=[1.0] + [0.0] * 383))
    frame, failed = curate(given, opened(database))
    assert failed == {"both_splits_have_rows"}
    assert frame.filter(pl.col("split") == "deferred").height == 5


def test_a_budget_goes_to_the_modes_that_matter_most_not_to_the_oldest_rows(database, given):
    old, many = vector(0, of=384), vector(1, of=384)
    rare = decided(database, crowd(3), [old] * 3, Decision("accept"))
    frequent = decided(database, crowd(8, start=3), [many] * 8, Decision("accept"))
    budget = given.curation.model_copy(update={"max_corrections": 9, "max_contributor_share": 0.5})
    instance = dg.DagsterInstance.ephemeral()
    frame, _ = curate(given.model_copy(update={"curation": budget}), opened(database), instance)
    said = "the cycle already has 9 corrections that matter more"
    assert split_of(frame, rare[0])[1] != said
    assert [split_of(frame, row) for row in rare[1:]] == [("deferred", said)] * 2
    assert said not in [split_of(frame, row)[1] for row in frequent]
    assert frame.filter(pl.col("reason") == said).height == 2


def test_the_failure_modes_are_shown_with_their_size_and_severity(database, given):
    rooms = [corrected(f"dim the light of room {n}", "{}", f"user-{n}") for n in range(10)]
    ids = accepted(database, *rooms)
    same = sa.update(review_items).values(cluster="home-0001")
    with database.begin() as connection:
        connection.execute(same)
    instance = dg.DagsterInstance.ephemeral()
    frame, failed = curate(given, opened(database), instance)
    event = instance.get_latest_materialization_event(corrections.key)
    table = event.asset_materialization.metadata["failure modes"].value.splitlines()
    assert failed == set()
    assert table[0].startswith("| mode | cluster | severity | size | train | heldout | deferred |")
    assert table[2].startswith("| home: dim, light, of | home-0001 | 0.90 | 10 | 8 | 2 | 0 |")
    assert len(table) == 3
    assert sum(row in table[2] for row in ids) == 3
    assert frame["harm"].to_list() == pytest.approx([0.9] * 10)


def test_a_validator_that_fails_the_answer_keeps_it_out(database, given):
    ours = "loop_platform_tests.curation.test_corrections:only_json"
    [prose, *_] = accepted(database, corrected("prose", "Sure!", "eve"), *crowd(6))
    frame, _ = curate(given.model_copy(update={"validators": {"home": ours}}), opened(database))
    assert split_of(frame, prose) == ("quarantine", "the task's validator fails the chosen answer")
    assert frame.filter(pl.col("split") == "quarantine").height == 1


def only_json(request, answer):
    assert request["messages"][-1]["role"] == "user"
    return float(answer.startswith("{"))
