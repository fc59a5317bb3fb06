"""`loop keys`: who may ask what of the gateway and the console."""

import click

from loop_platform import keys as store
from loop_platform.database import engine


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.option("--role", type=click.Choice(store.ROLES), default="caller", show_default=True)
@click.option("--tenant", default="default", show_default=True)
@click.option("--name", required=True, help="Whom it stands for: the contributor or reviewer.")
def create(role: str, tenant: str, name: str) -> None:
    """Make a key and print it. It is not kept: it cannot be shown again."""
    with engine().begin() as connection:
        click.echo(store.create_key(connection, role, tenant, name))


@keys.command(name="list")
def list_() -> None:
    """Every key, the oldest first; never its text."""
    with engine().connect() as connection:
        for listed in store.list_keys(connection):
            key = listed.key
            until = f"revoked {listed.revoked_at:%Y-%m-%d %H:%M}" if listed.revoked_at else "in use"
            since = f"{listed.created_at:%Y-%m-%d %H:%M}"
            click.echo(
                f"{key.key_id}  {key.role:<12}{key.tenant:<16}{key.name:<24}{since}  {until}"
            )


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """End a key, within a second on every worker."""
    with engine().begin() as connection:
        if not store.revoke(connection, key_id):
            raise click.ClickException(f"no key {key_id!r} is in use; `loop keys list` shows them")
    click.echo(f"{key_id} is revoked")
