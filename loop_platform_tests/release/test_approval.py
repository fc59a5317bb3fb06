"""Which releases a person has to approve, by the settings."""

import pytest

from loop_platform.release.approval import required
from loop_platform.settings import GateSettings, Promotion

INVOICES: dict[str, Promotion] = {"invoices": "person"}
CHAT: dict[str, Promotion] = {"chat": "automatic"}


@pytest.mark.parametrize(
    ("promotion", "by_task", "tasks", "needed", "asking"),
    [
        ("person", {}, ["chat"], True, ("chat",)),
        ("person", {}, [], True, ()),
        ("automatic", {}, ["chat"], False, ()),
        ("automatic", {}, [], False, ()),
        ("automatic", INVOICES, ["chat"], False, ()),
        ("automatic", INVOICES, ["invoices", "chat"], True, ("invoices",)),
        ("person", CHAT, ["chat"], False, ()),
        ("person", CHAT, ["invoices", "chat"], True, ("invoices",)),
    ],
)
def test_one_task_that_asks_is_enough(
    promotion: Promotion,
    by_task: dict[str, Promotion],
    tasks: list[str],
    needed: bool,
    asking: tuple[str, ...],
) -> None:
    gates = GateSettings(promotion=promotion, promotion_by_task=by_task)

    found = required(gates, tasks)

    assert (found.needed, found.tasks) == (needed, asking)


def test_the_sentence_names_who_asks() -> None:
    gates = GateSettings(promotion="automatic", promotion_by_task=INVOICES)

    assert str(required(gates, ["invoices", "chat"])) == "a person approves what answers invoices"
    assert str(required(gates, ["chat"])) == "no task asks for a person's approval"
