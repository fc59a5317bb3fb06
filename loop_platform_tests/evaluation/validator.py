"""The product's own judgement of the task `commands`: is the answer the intent of the prompt?"""

import os
from pathlib import Path

from loop_platform.validators import Request


def intent(prompt: str) -> str:
    """What should be answered to a prompt."""
    return f'{{"intent": "{prompt}"}}'


def is_intent(request: Request, answer: str) -> float:
    return float(answer == intent(request["messages"][-1]["content"]))


def counted(request: Request, answer: str) -> float:
    """The same, and each time it is asked a line more in the file that the environment names."""
    with Path(os.environ["COUNTED"]).open("a") as file:
        file.write(".\n")
    return is_intent(request, answer)
