"""`loop export`: what the loop learnt, to take elsewhere."""

import shutil
from pathlib import Path

import click
import sqlalchemy as sa

from loop_platform.cli.accepted import accepted_corrections
from loop_platform.database import engine
from loop_platform.engine import card
from loop_platform.release import registry
from loop_platform.release.card import NoCardError, card_of


@click.group()
def export() -> None:
    """Corrections as JSON lines, an adapter as a folder."""


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
@click.argument("release")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def adapter(release: str, out: Path) -> None:
    """The adapter of RELEASE: safetensors, its configuration, training record and model card."""
    with engine().connect() as connection:
        known = registry.find(connection, release)
        text = _card(connection, release)
    if known.adapter_path is None:
        raise click.ClickException(f"{release} is a base model: it has no adapter")
    if out.exists() and any(out.iterdir()):
        raise click.ClickException(f"{out} is not empty; name a new folder")
    shutil.copytree(known.adapter_path, out, dirs_exist_ok=True)
    if text is not None:
        (out / card.FILE).write_text(text)
    click.echo(f"adapter {known.adapter} is in {out}")


def _card(connection: sa.Connection, release: str) -> str | None:
    """The card with what was measured since it was trained; None of an adapter that came without a
    training record."""
    try:
        return card_of(connection, release)
    except NoCardError:
        return None
