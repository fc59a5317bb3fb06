"""Texts that are the same but for their form, nearly the same, and not."""

import pytest

from loop_platform.resemblance import NEAR, Collection, digest, fingerprint, normalised, resemblance

LONG = "Could you please tell me how warm it was in the greenhouse yesterday, around noon or so?"


@pytest.mark.parametrize(
    "same",
    ["turn on the lamp", "  Turn on\nthe  LAMP. ", "“turn on the lamp!”", "turn on the ｌａｍｐ"],
)
def test_form_alone_makes_no_other_text(same: str) -> None:
    assert fingerprint(same) == fingerprint("Turn on the lamp")
    assert resemblance(same, "turn on the lamp") == 1.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("set it to 5.5 degrees", "set it to 55 degrees"),
        ("what is C++", "what is C#"),
        ("2 + 2", "2 * 2"),
        ("we're in", "were in"),
        ("?", "!"),
    ],
)
def test_what_looks_like_form_and_is_not_makes_another(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("turn on the lights in the kitchen", "turn on the lights in the bedroom"),
        ("pause radio", "unpause radio"),
        ("change headphones volume to 6 percent", "change headphones volume to 5 percent"),
        ("start the dusty", "start the crumbs"),
        (
            "please set the lights in the dining room on the first floor to seventy percent",
            "please set the lights in the guest room on the first floor to seventy percent",
        ),
    ],
)
def test_short_commands_that_name_something_else_differ(one: str, other: str) -> None:
    assert resemblance(one, other) < NEAR


@pytest.mark.parametrize(
    "nearly",
    [
        LONG.replace("please ", ""),
        LONG.replace("greenhouse", "green house"),
        LONG + " Thanks",
        LONG.replace("noon", "nooon"),
    ],
)
def test_a_longer_text_with_a_word_or_a_letter_changed_is_near(nearly: str) -> None:
    assert NEAR <= resemblance(LONG, nearly) < 1
    assert Collection(["something else", nearly]).near(LONG) == [1]


def test_resemblance_is_the_same_both_ways_and_from_none_to_one() -> None:
    assert resemblance("abc", "xyz") == 0.0
    assert resemblance("the lamp", "a lamp") == resemblance("a lamp", "the lamp")
    assert resemblance("lamp", "lamp") == 1.0


def test_the_nearest_is_the_one_that_counting_all_of_them_finds() -> None:
    texts = [f"{verb} the {thing}" for verb in ("dim", "stop", "pause") for thing in "abcdefg"]
    collection = Collection(texts)
    for asked in ("dim the c", "stop a thing", "x", "PAUSE the g?"):
        found = collection.nearest(asked)
        assert found is not None
        assert found.resemblance == max(resemblance(asked, text) for text in texts)
        assert resemblance(asked, texts[found.at]) == found.resemblance
    assert Collection([]).nearest("anything") is None


def test_a_digest_names_a_set_of_texts_in_any_order_and_form() -> None:
    assert digest(["a", "b", "b"]) == digest(["B.", "a"])
    assert digest(["a", "b"]) != digest(["a", "c"])


def test_a_text_of_nothing_but_punctuation_keeps_it() -> None:
    assert normalised(" ?! ") == "?!"
