"""What happened, as tables on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from home_assistant.report import text

Report = Mapping[str, Any]


def show(report: Report, console: Console) -> None:
    """The figures, where the time went, and the bars."""
    console.print(_figures(report))
    console.print(_times(report))
    console.print(_bars(report))
    rejected = report["rejected_candidate"]
    console.print(
        f"[bold]{rejected['release']}[/bold] was {rejected['state']}: {rejected['reason']}"
    )


def _figures(report: Report) -> Table:
    table = _table("What the loop did (users and reviewer are simulated)", "", "before", "after")
    for title, name in (
        ("task success, held-out commands", "task_success"),
        ("  templates seen in training", "task_success_seen_templates"),
        ("  templates unseen in training", "task_success_unseen_templates"),
    ):
        table.add_row(title, text(report[name]["before"]), text(report[name]["after"]))
    table.add_row(
        "  bare model, few-shot and guided JSON", text(report["few_shot_guided_json"]), ""
    )
    kept = report["retention"]
    table.add_row("general chat: champion with itself", text(kept["self"]), "")
    table.add_row("general chat: ours with the champion", "", text(kept["ours"]))
    table.add_row("general chat: plain candidate", "", f"{text(kept['plain'])} (rejected)")
    _second(table, report.get("second_cycle"))
    review = report["review"]
    table.add_row(
        f"failure modes in the first {review['first']:.0f} of {review['items']:.0f} items",
        f"in order of arrival {review['first_in_first_out']:.0f}, at random {review['random']:.1f}",
        f"ranked {review['ranked']:.0f} of {review['possible']:.0f}",
    )
    return table


def _second(table: Table, second: Report | None) -> None:
    if second is None:
        return
    table.add_row(
        "new kinds of command", text(second["new_before"]["all"]), text(second["new_after"]["all"])
    )
    table.add_row("old kinds, after the second cycle", "", text(second["old_after"]["all"]))
    table.add_row(
        "drift: p-value",
        *(f"{second[at]['p_value']:.4f}" for at in ("drift_before", "drift_after")),
    )


def _times(report: Report) -> Table:
    table = _table("Where the time went", "cycle", "stage", "seconds")
    for turn in report["cycles"]:
        used = ", ".join(f"{n} {split}" for split, n in turn["corrections"].items())
        table.add_row(turn["cycle"], f"corrections: {used}", "")
        for name, spread in turn["correction_parts_s"].items():
            table.add_row("", name, _spread(spread))
        for stage, took in turn["stages_s"].items():
            table.add_row("", stage, f"{took:.0f}")
        if turn["correction_to_production_s"]:
            whole = _spread(turn["correction_to_production_s"])
            table.add_row("", "[bold]correction to production[/bold]", f"[bold]{whole}[/bold]")
    return table


def _bars(report: Report) -> Table:
    table = _table("Is it so?", "", "what", "found")
    for bar in report["bars"]:
        mark = "[green]✓[/green]" if bar["met"] else "[red]✗[/red]"
        table.add_row(mark, bar["what"], escape(bar["found"]))
    return table


def _spread(spread: Report) -> str:
    return f"p50 {spread['p50']:.0f}, p95 {spread['p95']:.0f}, max {spread['max']:.0f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column)
    return table
