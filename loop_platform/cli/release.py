"""`loop release`: what there is, and the two moves that people ask for."""

import getpass

import click

from loop_platform.database import engine
from loop_platform.release import approval, registry
from loop_platform.release.requests import next_step, request_move, wait_for
from loop_platform.release.states import RefusedError, State
from loop_platform.settings import settings

_PATIENCE_S = 30.0


@click.group()
def release() -> None:
    """List, promote and roll back releases."""


@release.command(name="list")
def list_() -> None:
    """Every release, the oldest first, and what waits for a person."""
    with engine().connect() as connection:
        waiting = {wait.release: wait for wait in approval.waits(connection, settings().gates)}
        for known in registry.all_releases(connection):
            drill = "  drill" if known.drill else ""
            since = f"{known.state_since:%Y-%m-%d %H:%M:%S}"
            cycle = known.cycle or "-"
            click.echo(f"{known.release:<18}{known.state:<13}{since}  cycle {cycle}{drill}")
            if known.release in waiting:
                click.echo(f"{'':<18}{waiting[known.release]}")


@release.command()
@click.argument("name")
@click.option("--reason", default="promoted by hand", show_default=True)
def promote(name: str, reason: str) -> None:
    """Send a candidate on: out of a shadow that waits for a person into the canary, out of the
    canary to everyone. A retired release becomes champion again."""
    try:
        with engine().connect() as connection:
            step = next_step(connection, name)
    except (RefusedError, registry.UnknownReleaseError) as error:
        raise click.ClickException(str(error)) from error
    _move(name, step, reason)


@release.command()
@click.argument("name", required=False)
@click.option("--reason", default="rolled back by hand", show_default=True)
def rollback(name: str | None, reason: str) -> None:
    """Take the champion back: the release before it serves again."""
    if name is None:
        with engine().connect() as connection:
            champion = registry.champion(connection)
        if champion is None:
            raise click.ClickException("there is no champion to roll back")
        name = champion.release
    _move(name, State.ROLLED_BACK, reason)


def _move(name: str, state: State, reason: str) -> None:
    actor = f"loop:{getpass.getuser()}"
    with engine().begin() as connection:
        request = request_move(connection, name, state, actor=actor, reason=reason, evidence={})
    outcome = wait_for(engine(), request, _PATIENCE_S)
    if not outcome.handled:
        raise click.ClickException(
            f"the release controller did not answer within {_PATIENCE_S:g} s (request {request}):"
            " is `loop up` running?"
        )
    if outcome.refusal is not None:
        raise click.ClickException(outcome.refusal)
    click.echo(f"{name} is {state}")
