"""`loop up`."""

import click

from loop_platform.settings import settings
from loop_platform.stack.progress import Progress
from loop_platform.stack.up import up as run


@click.command()
@click.option("--only", multiple=True, metavar="PROGRAM", help="Start these programs alone.")
def up(only: tuple[str, ...]) -> None:
    """Start the whole stack and keep it running until Ctrl-C."""
    try:
        run(settings(), Progress(), only=only)
    except KeyboardInterrupt:
        return
