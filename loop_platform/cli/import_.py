"""`loop import`: recorded calls, or an adapter."""

from pathlib import Path

import click

from loop_platform.cli.recorded import RecordedError, recorded_calls
from loop_platform.database import engine
from loop_platform.gateway.journal import Journal
from loop_platform.gateway.shipping import Shipper
from loop_platform.identity import CallIdentity, identity_secret
from loop_platform.settings import settings


@click.command(name="import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--task", help="Task of the calls that name none.")
@click.option("--tenant", default="default", show_default=True)
def import_(source: Path, task: str | None, tenant: str) -> None:
    """Take in SOURCE: recorded calls (a file of JSON lines), or an adapter (a folder)."""
    if source.is_dir():
        raise click.ClickException(f"{source} is a folder")
    _calls(source, tenant, task or settings().gateway.default_task)


def _calls(file: Path, tenant: str, task: str) -> None:
    """Through the gateway's own journal and shipping: telemetry sees them like any other calls."""
    data_dir = settings().data_dir
    identity = CallIdentity(identity_secret(data_dir / "identity.secret"))
    try:
        calls = recorded_calls(file, tenant=tenant, task=task, identity=identity)
    except RecordedError as error:
        raise click.ClickException(str(error)) from error
    limit = settings().gateway
    journal = Journal(data_dir / "import", limit.segment_max_age_s, limit.segment_max_bytes)
    for call in calls:
        journal.append(call)
    journal.seal(everything=True)
    Shipper(journal, engine(), settings().lake).ship()
    click.echo(f"{len(calls)} calls of {file} are in the lake; telemetry takes them up next")
