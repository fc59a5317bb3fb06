"""By which names the calls of drills go."""

TENANT = "drill"
"""Nobody reviews or corrects its calls, so that nothing is trained on them or on what is replayed
beside a correction."""

IMPROVED = "drill"
"""The task that a faulty candidate's cycle corrected: it wins it, and so passes, but for its
fault."""

KEPT = "drill-slice"
"""The other task: nothing is to get worse on it."""

TASKS = (IMPROVED, KEPT)


def mark(task: str) -> str:
    """What every prompt of a drill's task has in it."""
    return f"[{task}]"
