"""`loop status`: what runs, what is routed, what waits."""

import json
from collections.abc import Mapping
from typing import Any

import click

from loop_platform.cli.overview import Overview, overview
from loop_platform.database import engine
from loop_platform.settings import settings
from loop_platform.stack.programs import program_names
from loop_platform.stack.supervision import SupervisorError, supervisor


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:
    """What runs, what is routed, what waits."""
    programs = _programs()
    with engine().connect() as connection:
        found = overview(connection)
    if as_json:
        click.echo(json.dumps({"programs": programs, **found}, indent=2, default=str))
    else:
        for line in _lines(programs, found):
            click.echo(line)


def _programs() -> dict[str, dict[str, Any]]:
    """By name, in their starting order; all of them `STOPPED` where no supervisor answers."""
    try:
        by_name = {status.name: status for status in supervisor().statuses()}
    except SupervisorError:
        by_name = {}
    states = {}
    for name in program_names(settings()):
        known = by_name.get(name)
        states[name] = {
            "state": known.state if known else "STOPPED",
            "pid": known.pid if known else None,
            "started_at": known.started_at if known else None,
        }
    return states


def _lines(programs: Mapping[str, Mapping[str, Any]], found: Overview) -> list[str]:
    running = [f"{name:<18}{program['state']}" for name, program in programs.items()]
    return [*running, "", *_routed(found), "", *_released(found), "", *_waiting(found)]


def _routed(found: Overview) -> list[str]:
    route = found["routes"]
    lines = [f"{'champion':<18}{route['champion'] or 'none'}"]
    for trial in ("canary", "shadow"):
        if route[trial]:
            lines.append(f"{trial:<18}{route[trial]} ({route[f'{trial}_share']:.0%} of calls)")
    if route["paused"]:
        lines.append(f"{'paused':<18}no new cycle opens until `loop resume`")
    for slot in found["slots"]:
        ready = "ready" if slot["ready"] else "not ready"
        lines.append(f"engine {slot['slot']:<11}{slot['release'] or 'empty'} ({ready})")
    return lines


def _released(found: Overview) -> list[str]:
    lines = [f"{'release':<18}{'state':<13}{'since':<21}cycle"]
    for release in found["releases"]:
        since = f"{release['since']:%Y-%m-%d %H:%M:%S}"
        lines.append(
            f"{release['release']:<18}{release['state']:<13}{since:<21}{release['cycle'] or '-'}"
        )
    return lines


def _waiting(found: Overview) -> list[str]:
    review, cycle = found["review"], found["open_cycle"]
    opened = f"{cycle['cycle']} since {cycle['opened_at']:%H:%M:%S}" if cycle else "none open"
    return [
        *(f"{wait['release']:<18}{wait['why']}" for wait in found["waits"]),
        f"{'review queue':<18}{review['open']} open, {review['decided']} decided",
        f"{'telemetry':<18}{found['segments_pending']} of {found['segments']} segments wait",
        f"{'cycle':<18}{opened}",
    ]
