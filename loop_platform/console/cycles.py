"""The turns of the loop: what each used, what it gained and where its time went."""

from starlette.responses import Response

from loop_platform.console import replies
from loop_platform.console.session import Visit, needs
from loop_platform.turns import Turn, turns


@needs("reviewer")
def listing(visit: Visit) -> Response:
    return replies.json({"cycles": _turns(visit)})


@needs("reviewer")
def page(visit: Visit) -> Response:
    context = {"key": visit.key, "at": "cycles", "cycles": list(reversed(_turns(visit)))}
    return replies.page(visit.request, "cycles.html", context)


def _turns(visit: Visit) -> list[Turn]:
    with visit.console.database.connect() as connection:
        return turns(connection)
