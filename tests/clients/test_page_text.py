"""Web pages in the place of answers are known as such, and quoted in a few words."""

from __future__ import annotations

import pytest

from claudebatch.clients.page_text import LONGEST_QUOTE, is_page, words_of


@pytest.mark.parametrize(
    ("content_type", "body", "page"),
    [
        ("text/html; charset=utf-8", "log in", True),
        ("TEXT/HTML", "", True),
        ("application/json", "<!DOCTYPE html><html>", True),
        ("", "\ufeff\n <HTML lang=en>", True),
        ("", '<?xml version="1.0"?><!-- a --><html>', True),
        ("application/json", '{"type": "error"}', False),
        ("text/plain", "<3 html", False),
        ("", "", False),
        ("", "<!--" * 9000, False),
    ],
)
def test_a_page_is_known_by_its_header_or_its_beginning(content_type, body, page):
    assert is_page(content_type, body) is page


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<html><head><style>p {}</style></head><h1>No &amp;\n go</h1>", "No & go"),
        ("<script>if (a < b) x()</script>Attention<br>required", "Attention required"),
        ("<!-- tag -->a<b", "a"),
        ("no page", "no page"),
        ("<script>never closed", ""),
        ("<p>" + "word " * 99, ("word " * 99)[:LONGEST_QUOTE].rstrip() + "…"),
    ],
)
def test_a_page_is_quoted_without_tags_and_in_short(body, words):
    assert words_of(body) == words
