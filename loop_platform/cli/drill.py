"""`loop drill`: plant a fault in the running stack, and see what comes of it."""

import json
import sys
import textwrap
from collections.abc import Sequence

import click

from loop_platform import drilling
from loop_platform.drilling import Finding
from loop_platform.settings import settings

_WIDTH = 88


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def drill(name: str | None, as_json: bool) -> None:
    """Plant a fault in the running stack and report what happened; without a name, list them.

    A copy of the champion is on its way to production meanwhile, and it is away again in the end.
    Exits 0 only if everything ended as it should.
    """
    known = drilling.names()
    if name not in known:
        listed = "\n".join(f"  {each:<22}{what}" for each, what in known.items())
        if name is None:
            click.echo(f"The drills:\n{listed}")
            return
        raise click.UsageError(f"there is no drill {name!r}; there are:\n{listed}")
    found = drilling.drill(name, settings())
    held = all(each.holds for each in found)
    click.echo(_json(name, found, held) if as_json else _table(found))
    sys.exit(0 if held else 1)


def _json(name: str, found: Sequence[Finding], held: bool) -> str:
    findings = [{"should": each.should, "found": each.found, "holds": each.holds} for each in found]
    return json.dumps({"drill": name, "passed": held, "findings": findings})


def _table(found: Sequence[Finding]) -> str:
    lines = []
    for each in found:
        lines.append(f"{'as it should be' if each.holds else 'NOT AS IT SHOULD':<18}{each.should}")
        lines += textwrap.wrap(
            each.found, _WIDTH, initial_indent=" " * 18, subsequent_indent=" " * 18
        )
    return "\n".join(lines)
