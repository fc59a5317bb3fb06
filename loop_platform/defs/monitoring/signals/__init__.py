"""The signals, one file each; a new file here is a new signal, nothing is registered.

A file holds `measure(call: ObservedCall) -> float | None`, None where the signal does not apply,
and `reason(value: float) -> str | None`, which says in words why a call of that value should be
looked at. The file's name is the column's name.
"""

import pkgutil


def signal_names() -> list[str]:
    """The names of all signals, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
