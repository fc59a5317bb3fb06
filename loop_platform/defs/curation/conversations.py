"""Which rows are turns of one conversation."""

import json


def conversation(messages: str) -> str:
    """What all turns of a conversation share: it up to the first thing that the user said.

    `messages` is JSON, and so is what is returned.
    """
    said = json.loads(messages)
    first = next((at for at, entry in enumerate(said) if entry.get("role") == "user"), len(said))
    return json.dumps(said[: first + 1], sort_keys=True)
