"""Fail the Dagster runs that nobody works on, so that the daemon retries them.

    python -m loop_platform.stack.abandoned_runs

Dagster's default launcher cannot see that a run's process died: the run would count as started, and
hold its pool slot, for hours. Runs are children of the code server; before that starts, there is
none.
"""

import logging

import dagster as dg

_UNDER_WAY = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

logger = logging.getLogger(__name__)


def fail_abandoned_runs(instance: dg.DagsterInstance) -> list[str]:
    """The ids of the runs that were under way; they are failed now."""
    failed = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_UNDER_WAY)):
        instance.report_run_failed(run, "Its process ended with the code location that ran it.")
        failed.append(run.run_id)
    return failed


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    with dg.DagsterInstance.get() as instance:
        failed = fail_abandoned_runs(instance)
    logger.info("%d runs had been abandoned %s", len(failed), failed)


if __name__ == "__main__":
    main()
