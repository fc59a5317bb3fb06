"""`loop expire`: what the retention settings say is to go, now."""

import click

from loop_platform.database import engine
from loop_platform.lake import Lake
from loop_platform.retention.expiry import Expiry
from loop_platform.settings import settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Count only.")
def expire(dry_run: bool) -> None:
    """Delete the calls that are older than the setting `retention` and that nobody labelled. The
    stack does so by itself every day."""
    found = settings()
    if found.retention.shortest is None:
        raise click.ClickException(
            "nothing expires: set retention.days, or retention.days_by_tenant"
        )
    expired = Expiry(engine(), Lake(found.lake), found.retention).run(dry=dry_run)
    for line in expired.told(dry=dry_run):
        click.echo(line)
