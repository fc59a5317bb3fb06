"""Runs whose process is gone, on a Dagster instance of the test's own."""

import uuid

import dagster as dg

from loop_platform.stack.abandoned_runs import fail_abandoned_runs


def test_runs_under_way_are_failed_and_the_others_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        status = dg.DagsterRunStatus
        runs = {
            state: run(instance, state)
            for state in (status.STARTED, status.STARTING, status.NOT_STARTED, status.SUCCESS)
        }
        failed = fail_abandoned_runs(instance)
        assert set(failed) == {runs[status.STARTED], runs[status.STARTING]}
        for state in (status.STARTED, status.STARTING):
            found = instance.get_run_by_id(runs[state])
            assert found is not None
            assert found.status is status.FAILURE
        for state in (status.NOT_STARTED, status.SUCCESS):
            found = instance.get_run_by_id(runs[state])
            assert found is not None
            assert found.status is state


def test_nothing_under_way_is_nothing_to_do() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert fail_abandoned_runs(instance) == []


def run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> str:
    run_id = str(uuid.uuid4())
    instance.add_run(dg.DagsterRun(job_name="telemetry", run_id=run_id, status=status))
    return run_id
