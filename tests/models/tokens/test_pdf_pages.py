"""Pages of a PDF, as far as they show."""

from __future__ import annotations

import zlib
from base64 import b64encode

import pytest

from claudebatch.models.tokens.pdf_pages import pages_of

PAGES = b"<</Type/Pages/Kids[2 0 R]>> <</Type /Page>>\n<< /Type\n/Page /Parent 1 0 R>>"


def packed(content: bytes) -> bytes:
    return b"4 0 obj <</Type /ObjStm /N 3>>\nstream\n" + zlib.compress(content) + b"\nendstream"


@pytest.mark.parametrize(
    ("content", "pages"),
    [
        (b"%PDF-1.4 " + PAGES, 2),
        (b"%PDF-1.5 " + packed(PAGES), 2),
        (b"%PDF-1.5 " + packed(PAGES) + packed(b"<</Type /Page>>"), 3),
        (b"%PDF-1.5 /Type /ObjStm stream\nno zlib", 0),
        (b"", 0),
    ],
)
def test_pages_are_counted_where_they_show(content: bytes, pages: int):
    assert pages_of(b64encode(content).decode()) == pages


def test_what_is_no_base64_has_none():
    assert pages_of("§§§") == 0


def test_a_bomb_is_not_unpacked():
    bomb = packed(b"/Type /Page " * 4_000_000)
    assert pages_of(b64encode(bomb * 20).decode()) < 500_000
