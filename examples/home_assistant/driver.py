"""Runs the demo's story against a loop that is up: `loop demo` starts this, with the keys it needs.

Writes the figures to `<out>/figures.json`, also when it breaks off, and the report to
`<out>/report.json`; exits 0 only if every bar of the report is met.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from pathlib import Path

from home_assistant import acts
from home_assistant.app import ServiceError
from home_assistant.loop import TooLateError
from home_assistant.report import report
from home_assistant.screen import Screen
from home_assistant.services import services
from home_assistant.story import Figures, Story
from home_assistant.table import show


async def tell(seed: int, cycles: int, screen: Screen, figures: Figures) -> None:
    """The whole story; `figures` holds what was measured, also when it breaks off."""
    began = time.monotonic()
    async with services() as found:
        story = Story(found, screen, seed, figures)
        try:
            held = await acts.first_cycle(story)
            await acts.drill(story, held)
            if cycles > 1:
                await acts.second_cycle(story, held)
        finally:
            acts.sum_up(story)
            figures["seconds"] = round(time.monotonic() - began, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cycles", type=int, default=1, choices=(1, 2))
    parser.add_argument("--seed", type=int, default=17)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was measured is kept
    screen, figures = Screen(), Figures()
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(tell(arguments.seed, arguments.cycles, screen, figures))
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseExceptionGroup as group:
        broken, other = group.split((ServiceError, TooLateError))
        if broken is None or other is not None:
            raise
        sys.exit(_broke_off(screen, str(_first(broken))))
    except (ServiceError, TooLateError) as error:
        sys.exit(_broke_off(screen, str(error)))
    finally:
        _write(arguments.out / "figures.json", figures)
    document = report(figures)
    _write(arguments.out / "report.json", document)
    show(document, screen.console)
    sys.exit(0 if document["closed_honestly"] else 1)


def _broke_off(screen: Screen, why: str) -> int:
    screen.say(f"the demo broke off: {why}", "bold red")
    return 1


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group: the rest of its workers met the same."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
