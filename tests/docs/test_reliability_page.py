"""The figures on the page are those that the drills have told, and every one of them is
clean.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.page import figures, table
from tests.drills.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()


def test_the_page_quotes_the_drills_own_figures():
    assert table() in PAGE


@pytest.mark.parametrize("drill", figures())
def test_no_figure_is_of_a_drill_that_found_something(drill):
    found = figures()[drill]
    assert found["problems"] == found["answers_lost"] == found["answers_asked_again"] == 0
    assert found["struck"] >= 50


def test_the_page_says_how_many_kinds_of_run_are_killed():
    assert len(SCENARIOS) == 9 and "nine kinds of run" in PAGE


def test_the_readme_counts_the_deaths_that_the_drill_has_told():
    deaths = figures()["crash --all"]["struck"]
    assert f"killed {deaths:,} times" in (ROOT / "README.md").read_text()
