"""Bars and sparklines: true to the numbers, and whatever is not nothing can be seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.domain import PICO_PER_USD
from claudebatch.core.reports import SpendLine
from claudebatch.ui.live.bars import bar, sparkline
from claudebatch.ui.tables.spend_tables import render_spend
from claudebatch.ui.tables.table import cell_width


@given(st.integers(0, 10**20), st.integers(0, 10**20), st.integers(1, 40), st.booleans())
def test_a_bar_fits_and_is_empty_for_nothing_only(part, whole, width, plain):
    drawn = bar(part, whole, width, plain=plain)
    assert len(drawn) <= width
    assert (drawn == "") == (part == 0 or whole == 0)
    assert not plain or drawn.isascii()


def test_a_bar_is_as_long_as_its_share():
    assert [bar(part, 8, 2) for part in (1, 4, 5, 8)] == ["▎", "█", "█▎", "██"]


def test_a_sparkline_has_a_column_for_each_value_and_the_highest_for_the_most():
    assert sparkline([0, 1, 4, 8]) == " ▂▅█"
    assert sparkline([0, 1, 4, 8], plain=True) == " :+@"
    assert sparkline([0, 0]) == "  "


def lines(*spent: int) -> list[SpendLine]:
    return [
        SpendLine(f"2026-11-{day:02}", spent=cents * PICO_PER_USD)
        for day, cents in enumerate(spent, 1)
    ]


def test_bars_are_drawn_where_they_fit_and_only_on_a_terminal():
    assert "█" not in "".join(render_spend(lines(1, 2, 4), "run"))
    wide = render_spend(lines(1, 2, 4), "run", width=120)
    assert [row.count("█") for row in wide] == [0, 3, 6, 12, 0]
    assert all(cell_width(row) <= 120 for row in wide)
    assert "█" not in "".join(render_spend(lines(1, 2, 4), "run", width=60))


def test_days_are_drawn_as_a_line_in_which_days_without_spend_are_blank():
    found = render_spend(
        [*lines(1, 8), SpendLine("2026-11-05", spent=4 * PICO_PER_USD)], "day", width=60
    )
    assert "2026-11-01  ▂█  ▅  2026-11-05" in found
