"""`loop import`: calls that were recorded elsewhere, adapters that were trained elsewhere."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
import sqlalchemy as sa

from loop_platform.arrivals import ArrivalRefusedError, Brought, bring
from loop_platform.curated import NothingCuratedError, newest
from loop_platform.database import engine
from loop_platform.engine.adapter import AdapterRefusedError
from loop_platform.gateway.journal import Journal
from loop_platform.gateway.redactors import RedactorError, Redactors, RedactorsMissingError
from loop_platform.gateway.shipping import Shipper
from loop_platform.identity import CallIdentity, identity_secret
from loop_platform.lake import Lake
from loop_platform.records import Call, Source
from loop_platform.release import bootstrap, registry
from loop_platform.release.registry import Release
from loop_platform.settings import Settings, settings
from loop_platform.sources import litellm_lines, openai_lines
from loop_platform.sources.intake import Intake, Recorded

_FORMATS: dict[Source, Callable[[bytes], Recorded]] = {
    "openai": openai_lines.recorded,
    "litellm": litellm_lines.recorded,
}


class _Imports(click.Group):
    """`loop import FILE` means calls."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named or not args else [calls.name or "", *args])


@click.group(name="import", cls=_Imports)
def import_() -> None:
    """What was recorded or trained elsewhere. `loop import FILE` is `loop import calls FILE`."""


@import_.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "source",
    type=click.Choice(list(_FORMATS)),
    default="openai",
    show_default=True,
    help="openai: `request` and `response` a line; litellm: its StandardLoggingPayload.",
)
@click.option("--task", help="Task of the calls that name none.")
@click.option("--tenant", default="default", show_default=True)
def calls(file: Path, source: Source, task: str | None, tenant: str) -> None:
    """Take in recorded calls, a line of JSON each. A line that is none is refused, with its number
    and the reason, and the others are taken; the same file again adds nothing."""
    found = settings()
    identity = CallIdentity(identity_secret(found.data_dir / "identity.secret"))
    lines = Lines(file, Intake(identity, found, source, tenant, task=task), _FORMATS[source])
    taken = _ship(lines, found)
    click.echo(f"{taken} calls of {file} are in the lake; telemetry takes them up next")
    if lines.refused:
        click.echo(f"{lines.refused} of {lines.refused + taken} lines were refused", err=True)
        sys.exit(1)


@import_.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--base",
    help="The release that it was trained on; the base model by default. `loop release list`.",
)
@click.option(
    "--trained-on",
    "trained_on",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="What it was trained on: JSON lines, or a folder of such. Once for each.",
)
@click.option("--note", help="Where it came from, for record and card; its folder by default.")
def adapter(folder: Path, base: str | None, trained_on: tuple[Path, ...], note: str | None) -> None:
    """Make a candidate of a peft adapter, or of a whole model that was trained from a release. It
    is tested on what the newest cycle holds out, and takes the same gates as any other."""
    found = settings()
    note = note or f"imported from {folder.resolve().name}"
    try:
        with engine().begin() as connection:
            brought = Brought(folder, _base(connection, base), trained_on, note)
            tested_on = newest(connection, Lake(found.lake))
            cycle = bring(connection, found.data_dir, brought, tested_on)
    except (ArrivalRefusedError, AdapterRefusedError, NothingCuratedError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"cycle {cycle} is open: the stack takes it in when no other cycle is going on, and tests"
        f" it on what cycle {tested_on} holds out; `loop status` shows how far it is"
    )


def _base(connection: sa.Connection, name: str | None) -> Release:
    if name is not None:
        return registry.find(connection, name)
    found = bootstrap.base(connection)
    if found is None:
        raise click.ClickException("there is no base model yet: `loop up` installs it")
    return found


class Lines:
    """The calls in a file; what is none is told and counted on the way."""

    def __init__(self, file: Path, intake: Intake, read: Callable[[bytes], Recorded]) -> None:
        self._file = file
        self.tenant = intake.tenant
        self._intake = intake
        self._read = read
        self.refused = 0

    def __iter__(self) -> Iterator[Call]:
        with self._file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    yield self._intake.call(self._read(line.strip()))
                except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
                    self.refused += 1
                    click.echo(f"line {number}: {error}", err=True)


async def _journalled(calls: Lines, journal: Journal, found: Settings) -> int:
    """Personal data is taken out of the calls first, where the tenant asks for it."""
    redacts = calls.tenant in found.redaction.tenants
    redactors = Redactors(found.redaction, identity_secret(found.data_dir / "identity.secret"))
    taken = 0
    try:
        if redacts:
            await redactors.start()
        for call in calls:
            journal.append(await redactors.record(call) if redacts else call)
            taken += 1
    except (RedactorsMissingError, RedactorError) as error:
        raise click.ClickException(f"after {taken} calls: {error}") from error
    finally:
        await redactors.stop()
    return taken


def _ship(calls: Lines, found: Settings) -> int:
    """Through the gateway's own journal and shipping: telemetry sees them like any other calls."""
    folder, limit = found.data_dir / "import", found.gateway
    journal = Journal(
        folder,
        limit.segment_max_age_s,
        limit.segment_max_bytes,
        frozenset(found.redaction.tenants),
    )
    taken = asyncio.run(_journalled(calls, journal, found))
    journal.seal(everything=True)
    Shipper(journal, engine(), found.lake).ship()
    return taken
