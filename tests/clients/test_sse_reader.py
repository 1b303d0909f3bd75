"""Events come out of a stream the same way wherever it is cut into pieces, and whatever
its lines end with.
"""

from __future__ import annotations

import json
import random

import pytest

from claudebatch.clients.sse_reader import EventReader
from tests.clients.wire import WHOLE, events


def read(*pieces: bytes) -> list[bytes]:
    reader = EventReader()
    return [data for piece in pieces for data in reader.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data: a\r\n\r\n", [b"a"]),
        (b"data: a\r\r", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a \n\n", [b" a "]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"]),
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data\n\n", []),
        (b"data:\n\n", [b""]),
        (b"\n\n\n", []),
        (b": a comment\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 7\nretry: 10\nnonsense\ndata: a\n\n", [b"a"]),
        (b"event: x\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: \xe2\x80\xa8\x0b\x0c\x1c\x85\n\n", [b"\xe2\x80\xa8\x0b\x0c\x1c\x85"]),
        (b"data: never finished\n", []),
        (b"data: never finished", []),
        (b"", []),
        (b"database: no field of ours\n\n", []),
    ],
)
def test_an_event_is_its_data_lines_up_to_an_empty_line(stream, found):
    assert read(stream) == found
    assert read(*(stream[n : n + 1] for n in range(len(stream)))) == found
    for cut in range(len(stream)):
        assert read(stream[:cut], b"", stream[cut:]) == found


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_cut_of_a_whole_answer_gives_the_same_events(end):
    stream = events(*WHOLE, {"type": "ping"}).replace(b"\n", end)
    whole = [json.loads(data) for data in read(stream)]
    assert whole == [*WHOLE, {"type": "ping"}]
    rng = random.Random(11)
    for _ in range(300):
        cuts = sorted(rng.randrange(len(stream)) for _ in range(rng.randrange(1, 40)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert [json.loads(data) for data in read(*pieces)] == whole


def test_an_event_is_given_as_soon_as_its_last_byte_is_there():
    reader = EventReader()
    assert list(reader.feed(b"data: a\r\n\r")) == [b"a"], "the LF that may follow is not waited for"
    assert list(reader.feed(b"\ndata: b\n")) == []
    assert list(reader.feed(b"\n")) == [b"b"]


def test_a_line_in_many_pieces_is_joined_once():
    """Joined anew for each piece, thirty megabytes in pieces of 16 kB would be copied
    two thousand times.
    """
    reader = EventReader()
    for _ in range(2000):
        assert list(reader.feed(b"x" * 16_384)) == []
    assert len(reader._line) == 2000
