"""Events are cut where they end, however their bytes arrive."""

import pytest

from loop_platform.gateway.events import EventSplitter, Usage, failed, parted, payload, usage_of

STREAM = b'data: {"a": "\xc3\xa9"}\n\ndata: {"b": 1}\r\n\r\n: a comment\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("size", range(1, 20))
def test_the_same_events_come_out_whatever_the_pieces(size: int):
    splitter = EventSplitter()
    events = []
    for start in range(0, len(STREAM), size):
        events += splitter.feed(STREAM[start : start + size])
    assert b"".join(events) == STREAM
    assert [payload(event) for event in events] == [
        b'{"a": "\xc3\xa9"}',
        b'{"b": 1}',
        b"",
        b"[DONE]",
    ]
    assert splitter.rest() == b""


def test_what_is_no_whole_event_yet_waits():
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n\ndata: 2\n") == [b"data: 1\n\n"]
    assert splitter.rest() == b"data: 2\n"
    assert splitter.feed(b"\n") == [b"data: 2\n\n"]


def test_events_are_parted_before_the_first_with_a_mark():
    ordinary, special = b"data: 1\n\ndata: 2\n\n", b"data: y x\n\ndata: 3\n\n"
    assert parted(ordinary + special, (b"x", b"y")) == (ordinary, special)
    assert parted(special, (b"x",)) == (b"", special)
    assert parted(ordinary, (b"x",)) == (ordinary, b"")


def test_an_engine_that_fails_says_so_in_an_event():
    assert failed(b'{"error": {"message": "out of memory"}}')
    assert failed(b'{"object": "error", "error": {}}')
    assert not failed(b'{"choices": [{"delta": {"content": "\\"error\\""}}]}')
    assert not failed(b"[DONE]")


def test_token_counts_are_read_where_there_are_any():
    assert usage_of(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 4}}') == Usage(3, 4)
    for data in (b"{}", b'{"usage": null}', b'{"usage": {"prompt_tokens": "x"}}', b'"usage"', b""):
        assert usage_of(data) == Usage(None, None)
