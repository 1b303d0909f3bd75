"""The columns of a table: their names, their order, and what can be chosen."""

from __future__ import annotations

import tracemalloc

import pytest

from claudebatch.core.errors import ClaudebatchError
from claudebatch.outputs.forms import form_of
from claudebatch.outputs.result_table import TableLayout
from claudebatch.outputs.table_columns import MOST_INPUT_COLUMNS, check_names
from claudebatch.outputs.write import write_results
from tests.support.made_results import answered, failed, lines_of, made
from tests.support.output_readers import read_separated, read_sqlite

USUAL = ["answer", "status", "ending", "model", "cost_usd", "error", "line", "file"]


def head(rows, tmp_path, *columns):
    return made("csv", rows, tmp_path, *columns).decode().split("\n")[0].split(",")


def test_a_rows_own_fields_stand_between_its_id_and_its_answer(tmp_path):
    rows = [answered("a", "x", b=1, a=2), failed("b", c=3, a=1), answered("c", "y")]
    assert head(rows, tmp_path) == ["id", "b", "a", "c", *USUAL]


def test_a_name_that_is_taken_says_where_it_is_from(tmp_path):
    rows = [answered("a", "x", model="mine", Model="yours", answer=1, **{"input.model": 2})]
    assert head(rows, tmp_path)[1:5] == [
        "input.model",
        "input.input.Model",  # "input.Model" would differ from the first in case only
        "input.answer",
        "input.input.input.model",
    ]
    found = read_sqlite(made("sqlite", rows, tmp_path), tmp_path)
    assert list(found[0].values())[1:5] == ["mine", "yours", 1, 2]


def test_an_id_that_is_a_field_of_the_row_too_is_there_once(tmp_path):
    rows = [
        answered(name, "x") | {"input": {"id": own, "b": 1}}
        for name, own in (("1", "1"), (2, "2"), ("f00d", None))
    ]
    assert head(rows, tmp_path) == ["id", "b", *USUAL]
    rows.append(answered("a-2", "z") | {"input": {"id": "a"}})
    assert head(rows, tmp_path) == ["id", "input.id", "b", *USUAL]


def test_memory_does_not_grow_with_the_rows(tmp_path):
    def peak(form, count):
        def lines(messages):
            for n in range(count):
                yield from lines_of([answered(f"row-{n}", "x" * 2000, review="y" * 2000)])(messages)

        tracemalloc.start()
        with (tmp_path / form).open("wb") as file:
            write_results(
                lines, form_of(None, form), TableLayout(), file, scratch=tmp_path / "scratch"
            )
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    for form in ("csv", "sqlite", "openai-batch"):
        peak(form, 10)  # what is made once
        assert peak(form, 1500) < peak(form, 50) + 2_500_000  # a buffer or two


def test_a_rehearsal_says_so(tmp_path):
    rows = [answered("a", "x") | {"simulated": True, "fallback_reason": "overloaded_error"}]
    assert head(rows, tmp_path) == ["id", *USUAL, "fallback_reason", "simulated"]


def test_chosen_columns_are_those_and_in_that_order(tmp_path):
    rows = [answered("a", "x", review="good", answer="mine"), failed("b")]
    names = ("answer", "input.answer", "review", "output_tokens", "error.type", "message.role")
    found = read_separated(made("csv", rows, tmp_path, *names), ",")
    assert [list(row) for row in found] == [list(names)] * 2
    assert list(found[0].values()) == ["x", "mine", "good", "5", "", "assistant"]
    assert list(found[1].values()) == ["", "", "", "", "overloaded_error", ""]


def test_too_many_fields_for_a_table_stand_in_one_column(tmp_path, monkeypatch):
    monkeypatch.setattr("claudebatch.outputs.table_columns.MOST_INPUT_COLUMNS", 10)
    rows = [answered(f"r{n}", "x", **{f"f{n}": n}) for n in range(11)]
    assert head(rows, tmp_path) == ["id", "input", *USUAL]
    assert head(rows[:-1], tmp_path) == ["id", *(f"f{n}" for n in range(10)), *USUAL]


def test_a_database_holds_as_many_columns_as_a_table_may_have(tmp_path):
    fields = {f"f{n}": n for n in range(MOST_INPUT_COLUMNS)}
    (row,) = read_sqlite(made("sqlite", [answered("a", "x", **fields)], tmp_path), tmp_path)
    assert {name: row[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("reviw", '"review"'),
        ("anwser", '"answer"'),
        ("price", "rows have review, lang"),
        ("input.price", "rows have review, lang"),
    ],
)
def test_a_column_that_there_is_not_is_refused(name, hint):
    with pytest.raises(ClaudebatchError) as caught:
        check_names(["id", name], ["review", "lang"])
    assert caught.value.id == "E654"
    assert hint in str(caught.value.fix)


def test_names_that_are_known_need_no_look_at_the_rows():
    def fields():
        yield "review"
        raise AssertionError("read further than needed")

    check_names(["id", "answer", "usage.output_tokens", "message.stop_details.type"], fields())
    check_names(["review", "input"], fields())
    with pytest.raises(ClaudebatchError, match="twice"):
        check_names(["id", "ID"], ())
