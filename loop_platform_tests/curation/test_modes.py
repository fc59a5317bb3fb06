import json

import numpy as np
import polars as pl
import pytest

from loop_platform.defs.curation.modes import by_weight, modes

LIGHTS = ("turn on the kitchen light", "dim the kitchen light", "make the kitchen light blue")
MUSIC = ("play the next song", "play the song again", "what song is the radio on")


def rows(*said, cluster="home-0001", harm=0.9, start=0):
    """A row a prompt, each of a conversation of its own."""
    towards = np.eye(4, dtype=np.float32)[int(cluster[-1])]
    return pl.DataFrame(
        [
            {
                "decision_id": f"d{start + number}",
                "task": "home",
                "cluster": cluster,
                "messages": json.dumps([{"role": "user", "content": prompt}]),
                "prompt": prompt,
                "embedding": (towards * (1 if number else 0.9)).tolist(),
                "harm": harm,
            }
            for number, prompt in enumerate(said)
        ]
    )


def named(frame):
    return {mode.cluster: mode.name for mode in modes(frame)}


def test_a_mode_is_named_by_what_sets_it_apart_from_the_tasks_others():
    names = named(pl.concat([rows(*LIGHTS), rows(*MUSIC, cluster="home-0002", start=3)]))
    assert names == {"home-0001": "home: kitchen, light, the", "home-0002": "home: song, the"}


def test_what_fewer_than_three_conversations_say_names_nothing():
    frame = pl.concat([rows("call Ada", "call ada"), rows("ring Bob", cluster="home-0002")])
    assert named(frame) == {"home-0001": "home: home-0001", "home-0002": "home: home-0002"}


def test_turns_of_one_conversation_are_one_voice():
    before = {"role": "user", "content": "hello"}
    turns = [json.dumps([before, {"role": "user", "content": prompt}]) for prompt in LIGHTS]
    frame = rows(*LIGHTS).with_columns(messages=pl.Series(turns))
    assert named(frame) == {"home-0001": "home: home-0001"}


def test_numbers_and_addresses_are_no_part_of_a_name():
    said = [f"mail ada@example.com code A{n}77 number 555{n}" for n in range(3)]
    assert named(rows(*said)) == {"home-0001": "home: code, mail, number"}


def test_a_word_counts_once_a_row_however_often_it_is_said():
    said = ["song " * 50 + "light", "light please", "light song please", "song light please"]
    assert named(rows(*said)) == {"home-0001": "home: light, please, song"}


def test_two_modes_with_the_same_words_have_different_names():
    frame = pl.concat([rows(*LIGHTS), rows(*LIGHTS, cluster="home-0002", start=3)])
    assert set(named(frame).values()) == {
        "home: kitchen, light, the (home-0001)",
        "home: kitchen, light, the (home-0002)",
    }


def test_what_matters_most_comes_first_severity_times_size():
    frame = pl.concat(
        [
            rows(*LIGHTS, harm=0.2),
            rows("play it", cluster="home-0002", harm=0.9, start=3),
            rows("stop", "stop now", cluster="home-0003", harm=0.25, start=4),
        ]
    )
    found = modes(frame)
    assert [(mode.cluster, mode.size) for mode in found] == [
        ("home-0002", 1),
        ("home-0001", 3),
        ("home-0003", 2),
    ]
    assert [mode.severity for mode in found] == pytest.approx([0.9, 0.2, 0.25])
    assert by_weight(frame) == ["d3", "d0", "d1", "d2", "d4", "d5"]


def test_the_examples_are_the_most_typical_decisions_never_texts():
    [mode] = modes(rows(*LIGHTS, "and one more"))
    assert mode.examples == ("d1", "d2", "d3")  # d0 lies farther from the others


def test_rows_that_were_curated_before_their_harm_was_kept_have_modes_too():
    [mode] = modes(rows(*LIGHTS).drop("harm"))
    assert (mode.severity, mode.size, mode.weight) == (None, 3, 3.0)


def test_nothing_has_no_modes():
    assert modes(rows(*LIGHTS).clear()) == []
