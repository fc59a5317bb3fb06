"""`loop pause` and `loop resume`."""

import click

from loop_platform.database import engine
from loop_platform.release.routes import set_paused


@click.command()
def pause() -> None:
    """Open no new cycle. Calls are served and recorded; what runs goes on."""
    with engine().begin() as connection:
        set_paused(connection, True)
    click.echo("paused: no new cycle opens until `loop resume`")


@click.command()
def resume() -> None:
    """Let cycles open again."""
    with engine().begin() as connection:
        set_paused(connection, False)
    click.echo("resumed")
