"""The training program, started by Dagster Pipes with a `Job` as its extras.

    python -m loop_platform.engine.train               # under Pipes
    python -m loop_platform.engine.train --job job.json  # by hand
    torchrun --nproc-per-node 2 -m loop_platform.engine.train …  # by several together

Progress goes to Pipes (or standard output); so do the adapter's hash, as data version, and the
record, as metadata. It ends with its parent, and a signal leaves nothing half-written behind.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from loop_platform.engine import lease
from loop_platform.engine.job import decode
from loop_platform.engine.lifetime import die_with_parent, stop_on_signals
from loop_platform.engine.outcome import code_of, report
from loop_platform.engine.team import Team
from loop_platform.engine.training import train


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=Path, help="a Job as JSON, in place of Dagster Pipes")
    options = parser.parse_args()
    die_with_parent()
    stop_on_signals()
    # A thread that sleeps at every barrier trains at 60 % of the speed, one that never sleeps takes
    # the core from those that serve: this is about a millisecond.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    file: Path | None = options.job
    return code_of(lambda: _together(_under_pipes if file is None else partial(_by_hand, file)))


def _together(work: Callable[[Team], None]) -> None:
    team = Team()
    team.join()
    try:
        work(team)
    finally:
        team.leave()


def _by_hand(file: Path, team: Team) -> None:
    def say(line: str) -> None:
        if team.leads:
            print(line, flush=True)

    trained = train(decode(json.loads(file.read_text())), say, team)
    if trained is not None:
        print(json.dumps({"adapter": str(trained.adapter), "weights": str(trained.weights)}))


def _under_pipes(team: Team) -> None:
    """The leader alone speaks with whoever started them."""
    from dagster_pipes import PipesContext, open_dagster_pipes

    if not team.leads:
        train(decode(team.told(None)), lambda _: None, team)
        return
    with open_dagster_pipes() as pipes:
        context: PipesContext = pipes
        lease.hold(context.extras)
        trained = train(decode(team.told(context.extras["job"])), context.log.info, team)
        assert trained is not None
        report(context, trained)


if __name__ == "__main__":
    sys.exit(main())
