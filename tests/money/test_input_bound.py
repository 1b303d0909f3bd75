"""The bound on a request's input really is one: whatever Unicode, attachments and tools
can make of it.
"""

from __future__ import annotations

import base64
import struct
import unicodedata
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.domain import Size
from claudebatch.core.jsonl import encode
from claudebatch.models.catalog import Catalog
from claudebatch.models.tokens import measure
from claudebatch.models.tokens.text import longest

FACTS = Catalog.load().facts("claude-sonnet-5-5")


def bound(content: Any, **params: Any) -> Size:
    members = {"max_tokens": 10, "messages": [{"role": "user", "content": content}], **params}
    return measure(members, encode({**members, "model": FACTS.id}), FACTS)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200))
def test_a_token_for_every_byte_in_any_form_of_unicode_stays_below_it(text, form):
    as_read = unicodedata.normalize(form, text)
    assert bound(text).input_bound >= len(as_read.encode("utf-8", "surrogatepass")) + 256
    assert longest(text.encode("utf-8", "replace")) >= len(
        unicodedata.normalize(form, text.replace("\ud800", "?"))
    )


def test_one_character_that_is_a_phrase_counts_as_the_phrase():
    phrase = unicodedata.normalize("NFKC", "\ufdfa")
    assert len(phrase) == 18
    assert bound("\ufdfa" * 100).input_bound >= 100 * len(phrase.encode())


def png(width: int, height: int) -> dict[str, Any]:
    """A tiny file that says it is a huge picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = (
        struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


_IMAGE = png(8000, 8000)
_PDF = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"},
}


@pytest.mark.parametrize(
    "around",
    [
        lambda block: [block],
        lambda block: [{"type": "tool_result", "tool_use_id": "t", "content": [block]}],
        lambda block: [{"type": "document", "source": {"type": "content", "content": [block]}}],
        lambda block: [
            {"type": "web_fetch_tool_result", "tool_use_id": "t", "content": {"content": block}}
        ],
        lambda block: [{"type": "mcp_tool_result", "tool_use_id": "t", "content": [block]}],
        lambda block: [
            {"type": "a_result_of_tomorrow", "content": {"type": "x", "content": [block]}}
        ],
    ],
)
def test_images_and_documents_count_wherever_they_stand(around):
    assert bound(around(_IMAGE)).input_bound >= FACTS.image_tokens_max
    assert bound(around(_PDF)).input_bound == FACTS.context_window


def test_a_hundred_images_count_a_hundred_times():
    assert bound([_IMAGE] * 100).input_bound >= 100 * FACTS.image_tokens_max


def test_a_server_tool_may_read_the_whole_window_each_time_it_runs():
    tool = {"type": "web_search_20260209", "name": "web_search", "max_uses": 3}
    size = bound("hi", tools=[tool])
    assert size.input_bound == 4 * FACTS.context_window
    assert size.web_searches_bound == 3
