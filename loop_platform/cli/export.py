"""`loop export`: what the loop learnt, to take elsewhere."""

import shutil
from pathlib import Path

import click
import sqlalchemy as sa

from loop_platform.cli.accepted import accepted_corrections
from loop_platform.curated import NothingCuratedError
from loop_platform.database import engine
from loop_platform.engine import card
from loop_platform.lake import Lake
from loop_platform.openrlhf import folder
from loop_platform.release import registry
from loop_platform.release.card import NoCardError, card_of
from loop_platform.settings import settings


@click.group()
def export() -> None:
    """Corrections as JSON lines, an adapter as a folder, a cycle for OpenRLHF."""


@export.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def corrections(out: Path) -> None:
    """Every accepted correction, with its lineage: call, feedback, contributor, decision, cycle."""
    count = 0
    with engine().connect() as connection, out.open("w") as file:
        for count, line in enumerate(accepted_corrections(connection), start=1):  # noqa: B007
            file.write(line + "\n")
    click.echo(f"{count} corrections in {out}")


@export.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--cycle", help="The newest by default.")
def openrlhf(out: Path, cycle: str | None) -> None:
    """A cycle's rows in OpenRLHF's formats, with the commands that run them there and the way
    back, for what one machine is too small for. What is held out stays here."""
    _empty(out)
    found = settings()
    try:
        with engine().connect() as connection:
            exported = folder.export(connection, Lake(found.lake), found, out, cycle)
    except (NothingCuratedError, folder.NothingToExportError) as error:
        raise click.ClickException(str(error)) from error
    for name, count in exported.files.items():
        click.echo(f"{count} rows in {out / name}")
    for why, count in exported.left_out.items():
        click.echo(f"{count} corrections left out: {why}", err=True)
    click.echo(f"how to run it, and the way back: {out / 'README.md'}")


@export.command()
@click.argument("release")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def adapter(release: str, out: Path) -> None:
    """The adapter of RELEASE: safetensors, its configuration, training record and model card."""
    with engine().connect() as connection:
        known = registry.find(connection, release)
        text = _card(connection, release)
    if known.adapter_path is None:
        raise click.ClickException(f"{release} is a base model: it has no adapter")
    _empty(out)
    shutil.copytree(known.adapter_path, out, dirs_exist_ok=True)
    if text is not None:
        (out / card.FILE).write_text(text)
    click.echo(f"adapter {known.adapter} is in {out}")


def _empty(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        raise click.ClickException(f"{out} is not empty; name a new folder")


def _card(connection: sa.Connection, release: str) -> str | None:
    """The card with what was measured since it was trained; None of an adapter that came without a
    training record."""
    try:
        return card_of(connection, release)
    except NoCardError:
        return None
