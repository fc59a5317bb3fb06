"""`loop import`: calls that were recorded elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import click

from loop_platform.cli.recorded import RecordedError, recorded_calls
from loop_platform.database import engine
from loop_platform.gateway.journal import Journal
from loop_platform.gateway.shipping import Shipper
from loop_platform.identity import CallIdentity, identity_secret
from loop_platform.records import Call
from loop_platform.settings import Settings, settings


@click.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--task", help="Task of the calls that name none.")
@click.option("--tenant", default="default", show_default=True)
def import_(file: Path, task: str | None, tenant: str) -> None:
    """Take in recorded calls, a line of JSON each, with OpenAI's `request` and `response`."""
    found = settings()
    data_dir = found.data_dir
    identity = CallIdentity(identity_secret(data_dir / "identity.secret"))
    try:
        calls = recorded_calls(
            file, tenant=tenant, task=task or found.gateway.default_task, identity=identity
        )
    except RecordedError as error:
        raise click.ClickException(str(error)) from error
    _ship(calls, found)
    click.echo(f"{len(calls)} calls of {file} are in the lake; telemetry takes them up next")


def _ship(calls: Sequence[Call], found: Settings) -> None:
    """Through the gateway's own journal and shipping: telemetry sees them like any other calls."""
    folder, limit = found.data_dir / "import", found.gateway
    journal = Journal(folder, limit.segment_max_age_s, limit.segment_max_bytes)
    for call in calls:
        journal.append(call)
    journal.seal(everything=True)
    Shipper(journal, engine(), found.lake).ship()
