"""Several hypotheses at once, and the chance of even one false alarm held.

Closed testing with averages: the mean of e-values of true hypotheses is one again, however they
depend on each other. A hypothesis is refuted when every set that it belongs to is; the worst set is
the hypothesis with some of the smallest others. V. Vovk and R. Wang (2021), "E-values: calibration,
combination and applications", Annals of Statistics 49, 1736-1754, algorithm 1. For e-processes it
holds at any moment, since the mean of e-processes of the same data is an e-process.
"""

from collections.abc import Mapping

import numpy as np


def adjusted(e_values: Mapping[str, float]) -> dict[str, float]:
    """Of each hypothesis the e-value that holds for the whole family: 1/α and more refutes it."""
    return {
        name: _worst_mean(e_value, [e for other, e in e_values.items() if other != name])
        for name, e_value in e_values.items()
    }


def _worst_mean(own: float, others: list[float]) -> float:
    """The smallest mean of `own` and any of the others."""
    sums = own + np.concatenate([[0.0], np.cumsum(sorted(others))])
    return float((sums / np.arange(1, sums.size + 1)).min())
