"""What `loop up` shows: a line a step, with its seconds; on a terminal, that it is under way."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class Progress:
    """Lines on standard output."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))

    @contextmanager
    def step(self, title: str, done: str | None = None) -> Iterator[None]:
        """A step that takes a while, and a line on its end; one that fails says nothing here."""
        began = time.monotonic()
        with self._console.status(f"{title} …"):
            if not self._console.is_terminal:
                self.say(f"· {title} …")
            yield
        self.say(f"✓ {done or title} ({time.monotonic() - began:.1f} s)", style="green")
