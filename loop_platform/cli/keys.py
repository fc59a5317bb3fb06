"""`loop keys`: who may ask what of the gateway and the console."""

import click

from loop_platform import keys as store
from loop_platform.database import engine


@click.group()
def keys() -> None:
    """Create, list, rotate, limit and revoke API keys."""


_requests = click.option(
    "--requests-per-minute", type=click.IntRange(1), help="Calls; without it, no limit."
)
_tokens = click.option(
    "--tokens-per-minute",
    type=click.IntRange(1),
    help="Tokens of requests and answers together; without it, no limit.",
)


@keys.command()
@click.option("--role", type=click.Choice(store.ROLES), default="caller", show_default=True)
@click.option("--tenant", default="default", show_default=True)
@click.option("--name", required=True, help="Whom it stands for: the contributor or reviewer.")
@_requests
@_tokens
def create(
    role: str,
    tenant: str,
    name: str,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
) -> None:
    """Make a key and print it. It is not kept: it cannot be shown again."""
    limits = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
    with engine().begin() as connection:
        click.echo(store.create_key(connection, role, tenant, name, **limits))


@keys.command(name="list")
def list_() -> None:
    """Every key, the oldest first; never its text."""
    with engine().connect() as connection:
        for listed in store.list_keys(connection):
            key = listed.key
            since = f"{listed.created_at:%Y-%m-%d %H:%M}"
            click.echo(
                f"{key.key_id}  {key.role:<12}{key.tenant:<16}{key.name:<24}{since}"
                f"  {_until(listed)}{_limits(key)}"
            )


@keys.command()
@click.argument("key_id")
@click.option(
    "--grace-minutes",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="How long the old key works on.",
)
def rotate(key_id: str, grace_minutes: float) -> None:
    """Print a new key that stands for the same as this one, which ends after the grace."""
    with engine().begin() as connection:
        text = store.rotate(connection, key_id, grace_minutes * 60)
    if text is None:
        raise _not_in_use(key_id)
    click.echo(text)


@keys.command()
@click.argument("key_id")
@_requests
@_tokens
def limit(key_id: str, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
    """Set what a key may ask for, within a second on every worker."""
    with engine().begin() as connection:
        if not store.limit(connection, key_id, requests_per_minute, tokens_per_minute):
            raise _not_in_use(key_id)
    allowed = store.Key(key_id, "caller", "", "", requests_per_minute, tokens_per_minute)
    click.echo(f"{key_id}:{_limits(allowed) or '  no limit'}")


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """End a key, within a second on every worker."""
    with engine().begin() as connection:
        if not store.revoke(connection, key_id):
            raise _not_in_use(key_id)
    click.echo(f"{key_id} is revoked")


def _not_in_use(key_id: str) -> click.ClickException:
    return click.ClickException(f"no key {key_id!r} is in use; `loop keys list` shows them")


def _until(listed: store.ListedKey) -> str:
    if listed.revoked_at is None:
        return "in use"
    word = "in use until" if listed.in_use else "revoked"
    return f"{word} {listed.revoked_at:%Y-%m-%d %H:%M}"


def _limits(key: store.Key) -> str:
    counts = {"requests": key.requests_per_minute, "tokens": key.tokens_per_minute}
    return "".join(f"  {most} {unit}/min" for unit, most in counts.items() if most is not None)
