"""Nothing that steers a terminal or hides from the eye gets through, and nothing
harmless is changed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.ui.sanitise import visible

Controls = Callable[[str], list[str]]


def test_hostile_text_is_shown_and_not_obeyed(hostile_text: str, raw_controls: Controls) -> None:
    shown = visible(hostile_text)
    assert raw_controls(shown) == []
    assert "\n" not in shown
    assert "\r" not in shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b", r"\x9b"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\u202e", r"\u202e"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
        ("[/foo]", "[/foo]"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_the_escape_names_the_character(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_newlines_and_tabs_stay_where_they_are_wanted_and_nothing_else_does() -> None:
    assert visible("a\n\tb\r\x1b\x0b\u2028", keep_newlines=True) == "a\n\tb" + r"\r\x1b\x0b\u2028"


@pytest.mark.parametrize(
    "text", ["plain", "Zürich · 日本語 · עברית · 🎉 · e\u0301", "a  b", "", "\\ [x] :boom:"]
)
def test_harmless_text_is_left_alone(text: str) -> None:
    assert visible(text) == text


@given(text=st.text(alphabet=st.characters()))
def test_no_control_format_or_surrogate_character_ever_survives(
    raw_controls: Controls, text: str
) -> None:
    assert raw_controls(visible(text)) == []


def test_every_character_of_unicode_that_has_no_shape_is_escaped() -> None:
    hidden = {"Cc", "Zl", "Zp", "Cs"}
    survivors = [
        hex(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in hidden and visible(chr(code)) == chr(code)
    ]
    assert survivors == []


@given(st.text())
def test_sanitising_twice_changes_nothing_more(text: str) -> None:
    assert visible(visible(text)) == visible(text)
