"""The product's own judgement of the task `commands`: is the answer the intent of the prompt?"""

from loop_platform.validators import Request


def intent(prompt: str) -> str:
    """What should be answered to a prompt."""
    return f'{{"intent": "{prompt}"}}'


def is_intent(request: Request, answer: str) -> float:
    return float(answer == intent(request["messages"][-1]["content"]))
