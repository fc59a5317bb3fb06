"""A drill from its beginning to its report."""

import importlib
import time
from collections.abc import Callable
from typing import cast

from loop_platform import drills
from loop_platform.drilling.budget import Budget
from loop_platform.drilling.catalogue import names
from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding, Report
from loop_platform.drilling.stack import connected
from loop_platform.settings import Settings


def drill(name: str, settings: Settings, budget: Budget) -> Report:
    """Runs a drill against the stack of these settings.

    Raises:
        LookupError: there is no such drill.
        StackError: the stack cannot be drilled now, or did not get where it should.
    """
    planted = names()
    if name not in planted:
        raise LookupError(f"there is no drill {name!r}; there are: {', '.join(planted)}")
    module = importlib.import_module(f"{drills.__name__}.{name.replace('-', '_')}")
    run = cast(Callable[[Rehearsal], list[Finding]], module.run)
    began = time.monotonic()
    with connected(settings) as stack, Rehearsal(stack, name, budget) as rehearsal:
        findings = run(rehearsal)
        ending, exposure = rehearsal.ending(), rehearsal.exposure()
        findings += rehearsal.restored()
    seconds = time.monotonic() - began
    return Report(name, planted[name], ending, exposure, findings, seconds)
