"""The demo's commands: clean labels, and nothing tested that was trained on."""

import re
from collections import Counter
from typing import Any

import pytest

Sampled = dict[str, Any]

# Which devices each command can be meant for.
_DOMAINS = {
    "HassSetVolume": {"media_player"},
    "HassMediaNext": {"media_player"},
    "HassMediaPause": {"media_player"},
    "HassMediaUnpause": {"media_player"},
    "HassMediaPrevious": {"media_player"},
    "HassVacuumStart": {"vacuum"},
    "HassVacuumReturnToBase": {"vacuum"},
    "HassLightSet": {"light"},
    "HassSetPosition": {"cover", "valve"},
    "HassListAddItem": {"todo"},
    "HassGetWeather": {"weather"},
    "HassClimateGetTemperature": {"climate"},
}


def _rows(sampled: Sampled, *kinds: str) -> list[dict[str, Any]]:
    return [row for name in ("first", "second") for kind in kinds for row in sampled[name][kind]]


def _every(sampled: Sampled) -> list[dict[str, Any]]:
    return _rows(sampled, "traffic", "seen", "unseen")


def test_the_parser_reads_in_every_sentence_what_its_answer_says(sampled: Sampled) -> None:
    for row in _every(sampled):
        assert row["parsed"] == row["gold"], row["text"]
        assert row["gold"]["intent"] == row["intent"]


def test_no_answer_has_a_place_that_the_sentence_does_not_name(sampled: Sampled) -> None:
    for row in _every(sampled):
        for slot in ("area", "floor"):
            place = row["gold"]["slots"].get(slot)
            assert place is None or place in row["text"], row["text"]


def test_every_other_slot_is_in_the_sentence_or_follows_from_its_template(
    sampled: Sampled,
) -> None:
    by_template: dict[str, set[tuple[str, ...]]] = {}
    for row in _every(sampled):
        unsaid = {
            f"{slot}={value}"
            for slot, value in row["gold"]["slots"].items()
            if slot in ("name", "item") and str(value) not in row["text"]
        }
        by_template.setdefault(row["template"], set()).add(tuple(sorted(unsaid)))
    for template, unsaid_by_row in by_template.items():
        assert unsaid_by_row <= {(), ("name=all",)}, template


def test_devices_are_asked_for_what_they_can_do(sampled: Sampled) -> None:
    devices = sampled["devices"]
    for row in _every(sampled):
        name = row["gold"]["slots"].get("name")
        if name in devices and row["intent"] in _DOMAINS:
            assert devices[name] in _DOMAINS[row["intent"]], row["text"]
        if name in devices and row["intent"] in ("HassTurnOn", "HassTurnOff"):
            assert devices[name] not in {"weather", "todo", "person", "sensor"}, row["text"]


def test_a_device_is_a_word_of_its_own(sampled: Sampled) -> None:
    for row in _every(sampled):
        name = row["gold"]["slots"].get("name")
        if name in sampled["devices"]:
            assert re.search(rf"\b{re.escape(name)}\b", row["text"]), row["text"]


@pytest.mark.parametrize("release", ["first", "second"])
def test_held_out_templates_say_nothing_that_is_trained_on(sampled: Sampled, release: str) -> None:
    trained = sampled[release]["traffic"] + sampled[release]["seen"]
    unseen = {row["template"] for row in sampled[release]["unseen"]}
    assert unseen
    for row in trained:
        assert not unseen & {*row["places"], row["template"]}, row["text"]
    known = {row["template"] for row in trained}
    for row in sampled[release]["unseen"]:
        assert not known & set(row["places"]), row["text"]


def test_no_held_out_sentence_is_said_in_traffic(sampled: Sampled) -> None:
    said = {row["key"] for row in _rows(sampled, "traffic")}
    assert not said & {row["key"] for row in _rows(sampled, "seen", "unseen")}


def test_held_out_sentences_differ_in_more_than_articles(sampled: Sampled) -> None:
    for release in ("first", "second"):
        for kind in ("seen", "unseen"):
            keys = [row["key"] for row in sampled[release][kind]]
            assert len(keys) == len(set(keys))


def test_the_first_release_has_sixteen_kinds_in_balance(sampled: Sampled) -> None:
    counts = Counter(row["intent"] for row in sampled["first"]["traffic"])
    assert len(counts) == 16
    assert max(counts.values()) <= 2 * 200 / len(counts)


def test_the_second_release_brings_ten_kinds_that_are_new(sampled: Sampled) -> None:
    old = {row["intent"] for row in sampled["first"]["traffic"]}
    new = {row["intent"] for row in sampled["second"]["traffic"]}
    assert len(new) == 10
    assert not old & new


def test_chat_and_retention_share_no_category_and_no_prompt(sampled: Sampled) -> None:
    chat = sampled["chat"]
    traffic, retention = chat["categories"]
    assert not set(traffic) & set(retention)
    assert not {p.lower() for p in chat["traffic"]} & {p.lower() for p in chat["retention"]}
    assert len(chat["traffic"]) >= 200
    assert len(chat["retention"]) >= 120
