"""The signals, one file each; a new file here is a new signal, nothing is registered.

A file holds `measure(call: ObservedCall) -> float | None`, None where the signal does not apply,
and `reason(value: float) -> str | None`, which says in words why a call of that value should be
looked at. The file's name is the column's name, its docstring the column's description. One that
says `ALARMS = False` is tested for drift and shown, but raises no alarm.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from loop_platform.defs.monitoring.observed import ObservedCall


@dataclass(frozen=True)
class Signal:
    """A number of a call, and when it is worth a look."""

    name: str
    description: str
    measure: Callable[[ObservedCall], float | None]
    reason: Callable[[float], str | None]
    alarms: bool


def signal_names() -> list[str]:
    """The names of all signals, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@cache
def signals() -> tuple[Signal, ...]:
    """All signals, by name.

    Raises:
        TypeError: a file here is no signal.
    """
    return tuple(_load(name) for name in signal_names())


def _load(name: str) -> Signal:
    module = importlib.import_module(f"{__name__}.{name}")
    missing = [part for part in ("measure", "reason") if not callable(getattr(module, part, None))]
    if missing or not module.__doc__:
        raise TypeError(
            f"signal {module.__file__} lacks {', '.join(missing) or 'a docstring'}:"
            f" {__name__} says what a signal is"
        )
    alarms = bool(getattr(module, "ALARMS", True))
    return Signal(name, module.__doc__.strip(), module.measure, module.reason, alarms)
