"""`loop erase`: a call, or everything of a person."""

from dataclasses import replace

import click

from loop_platform.database import engine
from loop_platform.gateway.redactors import pseudonym
from loop_platform.identity import identity_secret
from loop_platform.lake import Lake
from loop_platform.retention.erasure import Erased
from loop_platform.retention.erasure import erase as erase_subject
from loop_platform.retention.handover import StillWritingError, hand_over
from loop_platform.retention.traces import Subject
from loop_platform.settings import Settings, settings


@click.command()
@click.option("--call", "call_id", metavar="ID", help="One call, and what was said of it.")
@click.option("--user", metavar="ID", help="The calls and the feedback of a user.")
@click.option("--tenant", default="default", show_default=True, help="Of the user.")
def erase(call_id: str | None, user: str | None, tenant: str) -> None:
    """Remove a call or a person from the journal, the lake, the review queue and the datasets, and
    list the adapters that learned from it. It cannot be taken back."""
    try:
        subject = Subject(call_id=call_id, user=user, tenant=tenant)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    found = settings()
    try:
        hand_over(found, engine())
    except StillWritingError as error:
        raise click.ClickException(str(error)) from error
    anything = False
    for one in (subject, *_pseudonymous(subject, found)):
        erased = erase_subject(engine(), Lake(found.lake), found.data_dir, one)
        anything = anything or erased.anything
        if erased.anything or one == subject:
            for line in _told(erased):
                click.echo(line)
    if not anything:
        raise click.ClickException(f"there is nothing of {call_id or user!r}")


def _pseudonymous(subject: Subject, found: Settings) -> list[Subject]:
    """Whom a tenant's user is called while the tenant asks for redaction; it may have begun or
    ended to, so that both names are looked for."""
    if subject.user is None or subject.tenant is None:
        return []
    secret = identity_secret(found.data_dir / "identity.secret")
    return [replace(subject, user=pseudonym(secret, subject.tenant, subject.user))]


def _told(erased: Erased) -> list[str]:
    removed = erased.removed
    counts = {
        "calls": removed.calls,
        "feedback": removed.feedback,
        "journal lines": removed.lines,
        "review items": erased.review_items,
        "decisions": erased.decisions,
        "answers kept for retries": erased.kept_answers,
        **{f"rows of {name}": rows for name, rows in sorted(erased.dataset_rows.items())},
    }
    lines = [f"{name:<32}{count} erased" for name, count in counts.items()]
    if not erased.learners:
        return [*lines, "no adapter learned from it"]
    learned = [
        f"  {one.release}  {one.state:<12}{one.how}  (adapter {one.adapter})"
        for one in erased.learners
    ]
    return [*lines, f"{len(learned)} adapters learned from it:", *learned]
