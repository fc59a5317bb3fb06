"""What the demo shows while it runs: a bar for what can be counted, a line for what happened."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Screen:
    """Lines and bars on a terminal; lines alone elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()

    def say(self, text: str, style: str = "") -> None:
        seconds = int(time.monotonic() - self._began)
        clock = f"[dim]{seconds // 60:02d}:{seconds % 60:02d}[/dim]"
        said = escape(text)
        self.console.print(f"{clock} [{style}]{said}[/{style}]" if style else f"{clock} {said}")

    @contextmanager
    def count(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar over something with a known number; yields what moves it on by one."""
        what = TextColumn("      {task.description}")
        columns = (what, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        done = 0
        quiet = not self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=quiet) as bar:
            task = bar.add_task(title, total=total)

            def advance() -> None:
                nonlocal done
                done += 1
                bar.advance(task)
                if quiet and done < total and done % max(1, total // 4) == 0:
                    self.say(f"{title}: {done}/{total}")

            yield advance
        self.say(f"{title}: {done}/{total}")

    @contextmanager
    def waiting(self, title: str) -> Iterator[Callable[[str, str], None]]:
        """A line that says what is waited for; yields what changes its state and its detail."""
        with self.console.status(f"{title} …") as status:
            shown = ""

            def tell(state: str, detail: str) -> None:
                nonlocal shown
                status.update(f"{title}: {state}, {detail}")
                if state != shown:
                    self.say(f"{title}: {state}")
                shown = state

            yield tell
