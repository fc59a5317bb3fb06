"""The answer of a call, whichever endpoint it asked."""

from loop_platform.defs.telemetry.answer import Answer, read_answer
from loop_platform.defs.telemetry.responses import read_response
from loop_platform.records import Call

RESPONSES = "/v1/responses"


def answer_of(call: Call) -> Answer:
    """The text, why it stopped, how sure it was; of an embedding, nothing."""
    read = read_response if call.endpoint == RESPONSES else read_answer
    return read(call.response)
