"""What the answers in a drill's own tasks are worth: the validators of these tasks.

Each side has its part by script (loop_platform/engine/faulty.py), so that a candidate is as good,
or as bad, as the drill wants it; the champion answers for itself.
"""

from loop_platform.validators import Request

RIGHT = "done"
"""How a candidate's right answers begin. The champion knows nothing of it."""
WRONG = "lost"


def improves(_request: Request, answer: str) -> float:
    """Of the task that the candidate's cycle corrected: the champion fails all of it."""
    return float(answer.startswith(RIGHT))


def keeps(_request: Request, answer: str) -> float:
    """Of the other task: the champion does all of it."""
    return float(not answer.startswith(WRONG))
