"""A candidate that wins what was corrected, and is 5 points worse on another task.

Its shadow has to end with that task lost, or not known; nobody is to get an answer of it.
"""

from loop_platform.drilling.rehearsal import Rehearsal
from loop_platform.drilling.report import Finding
from loop_platform.drilling.verdicts import regression


def run(rehearsal: Rehearsal) -> list[Finding]:
    return regression(rehearsal, share=0.05)
