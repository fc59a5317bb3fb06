"""`loop drill`: plant a fault in the running stack, and see what comes of it."""

import json
import sys
import textwrap

import click

from loop_platform.drilling.budget import Budget
from loop_platform.drilling.catalogue import names
from loop_platform.drilling.report import Report
from loop_platform.settings import settings

_WIDTH = 88
_INDENT = 18


@click.command()
@click.argument("name", required=False)
@click.option(
    "--pace",
    type=click.FloatRange(min=0, min_open=True),
    default=Budget.pace,
    show_default=True,
    help="Calls a second of the drill's own callers.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=Budget.minutes,
    show_default=True,
    help="That a trial may take: then it is ended, as not known.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def drill(name: str | None, pace: float, minutes: float, as_json: bool) -> None:
    """Plant a fault in the running stack and report what happened; without a name, list them.

    A candidate is on its way to production meanwhile, of which nobody but the drill's own callers
    gets a worse answer; it is away again in the end. Exits 0 only if everything ended as it should.
    """
    known = names()
    if name not in known:
        listed = "\n".join(f"  {each:<22}{what}" for each, what in known.items())
        if name is None:
            click.echo(f"The drills:\n{listed}")
            return
        raise click.UsageError(f"there is no drill {name!r}; there are:\n{listed}")
    from loop_platform.drilling.drill import drill as drilled  # slow, and a list needs none of it

    report = drilled(name, settings(), Budget(pace, minutes))
    click.echo(json.dumps(report.as_json()) if as_json else _table(report))
    sys.exit(0 if report.passed else 1)


def _table(report: Report) -> str:
    ending, exposure = report.ending, report.exposure
    facts = {"planted": report.planted}
    if ending is not None:
        facts |= {
            "ended": f"{ending.stage} → {ending.state} by {ending.by}",
            "it took": f"{ending.evidence}, {ending.seconds:g} s",
        }
    facts |= {
        "callers met": str(exposure),
        "callers' errors": f"{exposure.errors} of {exposure.of_all} calls",
    }
    lines = [line for name, fact in facts.items() for line in _row(name, fact)]
    for finding in report.findings:
        held = "as it should be" if finding.holds else "NOT AS IT SHOULD"
        lines += [f"{held:<{_INDENT}}{finding.should}", *_row("", finding.found)]
    return "\n".join(lines)


def _row(name: str, text: str) -> list[str]:
    margin = " " * _INDENT
    head = f"{name:<{_INDENT}}"
    return textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=margin) or [head]
