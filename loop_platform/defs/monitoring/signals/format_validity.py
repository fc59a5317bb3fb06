"""Whether the answer has the format that was asked for: 1 if so, 0 if not, nothing if none was.

Asked for is JSON, by `response_format` or by a system message that names it, or a tool call, by
`tool_choice`. A schema's fields are a validator's business.
"""

import msgspec

from loop_platform.defs.monitoring.observed import ObservedCall


def measure(call: ObservedCall) -> float | None:
    if not call.complete or call.status >= 400:
        return None
    if _wants_tool(call):
        return float(_parses(call) and call.finish_reason in ("tool_calls", "stop"))
    return float(_parses(call)) if call.wants_json else None


def reason(value: float) -> str | None:
    return None if value else "not in the format that was asked for"


def _wants_tool(call: ObservedCall) -> bool:
    choice = call.request.get("tool_choice")
    return choice == "required" or isinstance(choice, dict)


def _parses(call: ObservedCall) -> bool:
    """An object or a list: a bare number or word is JSON too, and never what was meant."""
    try:
        return isinstance(msgspec.json.decode(call.answer or ""), dict | list)
    except msgspec.DecodeError:
        return False
