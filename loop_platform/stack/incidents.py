"""What died: read from supervisord's growing log, told with the end of the program's own log."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loop_platform.stack.configuration import log_file

_DEATH = re.compile(
    r" (?:exited: (?P<died>\S+) \((?P<how>.*)\)"
    r"|gave up: (?P<lost>\S+) .*"
    r"|spawnerr: (?P<why>.*))$"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_READ_AT_MOST = 16_384


@dataclass(frozen=True)
class Incident:
    """A program ended without being asked to."""

    program: str
    what: str
    log: Path

    def __str__(self) -> str:
        last = tail(self.log)
        ending = f"\n{last}" if last else " (empty)"
        return f"{self.program} {self.what}. The end of {self.log}:{ending}"


class Incidents:
    """Follows the supervisor of one data folder from now on."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._log = log_file(data_dir, "supervisord")
        self._read = self._log.stat().st_size if self._log.exists() else 0
        self.deaths: Counter[str] = Counter()

    def new(self) -> Iterator[Incident]:
        """What happened since the last look."""
        for line in self._lines():
            if not (match := _DEATH.search(line)):
                continue
            if program := match["died"]:
                self.deaths[program] += 1
                what = f"ended ({match['how'].split(';')[0]}) and is started again"
            else:
                program = match["lost"] or "supervisord"
                what = f"could not be started: {match['why']}" if match["why"] else "keeps dying"
            yield Incident(program, what, log_file(self._data_dir, program))

    def _lines(self) -> list[str]:
        if not self._log.exists():
            return []
        size = self._log.stat().st_size
        if size < self._read:  # it was rotated
            self._read = 0
        if size == self._read:
            return []
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log file, indented."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _READ_AT_MOST))
        text = _COLOUR.sub("", file.read().decode(errors="replace"))
        last = text.splitlines()[-lines:]
    return "\n".join(f"    {line[:400]}" for line in last)
