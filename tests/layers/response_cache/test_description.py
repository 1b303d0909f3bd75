"""What is kept of a request: whole where it is small, the ends of long texts where it
is not, and digests that edits leave alone.
"""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from claudebatch.core.jsonl import decode, encode
from claudebatch.layers.response_cache import description as kept_of
from claudebatch.layers.response_cache.description import Description, unpacked


def body(text: Any = "hello", **members: Any) -> bytes:
    messages = members.pop("messages", [{"role": "user", "content": text}])
    return encode({"model": "m", "max_tokens": 9, "messages": messages, **members})


def description(request: bytes, *, row: str) -> Description:
    return kept_of.description(request, decode(request).get("messages"), row=row)


@pytest.mark.parametrize("text", ["short", "long " * 2000])
def test_a_request_is_kept_whole(text: str):
    told = description(body(text), row="r")
    found = unpacked(told.packed, told.form)
    assert found.whole and encode(found.body) == body(text)
    assert len(told.packed) < 1100


def test_of_a_large_request_long_texts_are_cut_and_still_differ():
    document = "A page of text. " * 10_000
    other = document[:80_000] + "!" + document[80_001:]
    kept = [description(body(text, system="s"), row="r") for text in (document, other)]
    first, second = (unpacked(told.packed, told.form) for told in kept)
    assert not first.whole and len(kept[0].packed) < 1000
    assert first.body["system"] == "s" and "160,000 characters" in str(first.body["messages"])
    assert first.body != second.body


def test_a_file_of_megabytes_is_never_kept():
    image = {"type": "image", "source": {"type": "base64", "data": "AAAA" * 500_000}}
    told = description(body([image, {"type": "text", "text": "What is it?"}]), row="r")
    assert len(told.packed) < 1000 and told.words == "What is it?"


def test_the_words_are_those_of_the_last_text():
    turns = [
        {"role": "user", "content": "First?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": [{"type": "tool_result", "content": "7"}]},
    ]
    assert description(body(messages=turns), row="r").words == "Yes."
    assert description(body(" a\n\n b " * 200), row="r").words == "a b " * 29 + "a b"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Is  it raining today in Porto? ", {"before", "loose", "row"}),
        ("is it raining today, in porto", {"before", "loose", "row"}),
        ("Is it raining today in Lisbon?", {"before", "row"}),
    ],
)
def test_digests_tell_an_edit_from_another_prompt(text: str, same: set[str]):
    first = description(body("Is it raining today in Porto?"), row="r").digests
    second = description(body(text), row="r").digests
    found = {
        name
        for name, a, b in zip(first._fields, first, second, strict=True)
        if a == b and name not in ("head", "tail")
    }
    assert found == same


def test_beginning_and_end_are_found_whatever_stands_between():
    long = "The beginning is the same for all of them, and longer than sixty characters. "
    end = " And so is the end of them, which is also longer than sixty characters, or so."
    first = description(body(long + "A" * 300 + end), row="1").digests
    second = description(body(long + "B" * 200 + end), row="2").digests
    assert (first.head, first.tail) == (second.head, second.tail)
    assert first.messages != second.messages and first.row != second.row


@pytest.mark.parametrize("planted", [b"\xff", b"[1]", b"{", zlib.compress(b"x" * 100)])
def test_what_is_no_request_is_an_error(planted: bytes):
    with pytest.raises(ValueError):
        unpacked(planted, planted[:1] == b"\x78")


@pytest.mark.parametrize(
    "odd", [b'{"messages":[]}', b'{"messages":7}', b'{"messages":["x"]}', b"{}"]
)
def test_odd_requests_are_described_all_the_same(odd: bytes):
    assert description(odd, row="r").words == ""
