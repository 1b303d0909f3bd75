"""A sheet is read as it shows: its first row with cells names the columns."""

from __future__ import annotations

import datetime as dt
import sys

import openpyxl
import pandas
import pytest

from claudebatch.core.errors import ClaudebatchError
from claudebatch.inputs import Defaults, format_of
from tests.inputs.corpus_files import SECTIONS
from tests.inputs.test_every_format import prepared
from tests.support.encrypted_workbook import encrypted_workbook
from tests.support.input_writers import FILES, workbook


def book(*sheets: str) -> openpyxl.Workbook:
    made = openpyxl.Workbook()
    made.active.title = sheets[0]
    for name in sheets[1:]:
        made.create_sheet(name)
    return made


def read(tmp_path, made, **how) -> list[tuple[int, dict]]:
    """(row, values) of each row of the workbook *made*."""
    path = tmp_path / "in.xlsx"
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        made.save(path)
    file = prepared(tmp_path, str(path), **how)
    form = format_of(file.path, Defaults(max_tokens=1), name=file.name)
    return [(record.number, form.value(record.data)) for record in form.records(file.path)]


def refusal(tmp_path, made, **how) -> ClaudebatchError:
    with pytest.raises(ClaudebatchError) as caught:
        read(tmp_path, made, **how)
    return caught.value


def test_a_table_may_begin_anywhere_and_empty_rows_are_none(tmp_path):
    made = book("Rows")
    sheet = made.active
    for place, value in {"B3": "id", "C3": " text ", "B4": 1, "C4": "one", "C7": "two"}.items():
        sheet[place] = value
    # Formats alone make no cells.
    sheet["F3"].fill = openpyxl.styles.PatternFill("solid", fgColor="FFFF00")
    sheet["H9"].number_format = "0.00"
    assert read(tmp_path, made) == [(4, {"id": 1, "text": "one"}), (7, {"id": None, "text": "two"})]


def test_values_are_those_that_a_reader_sees(tmp_path):
    made = book("Rows")
    cells = {
        "whole": (2.0, 2),
        "part": (0.1, 0.1),
        "long": (1234567890123456, 1234567890123456),
        "huge": (1e300, 1e300),
        "yes": (True, True),
        "digits": ("007", "007"),
        "blank": ("", None),
        "day": (dt.date(2024, 2, 29), "2024-02-29"),
        "moment": (dt.datetime.fromisoformat("2024-02-29T12:30"), "2024-02-29T12:30:00"),
        "time": (dt.time(4, 5), "04:05:00"),
        "length": (dt.timedelta(hours=30, minutes=1), "30:01:00"),
        2024: ("a heading that is a number", "a heading that is a number"),
    }
    made.active.append(list(cells))
    made.active.append([value for value, _ in cells.values()])
    ((_, found),) = read(tmp_path, made)
    assert found == {str(name): shown for name, (_, shown) in cells.items()}
    assert isinstance(found["whole"], int) and isinstance(found["yes"], bool)


def test_a_merged_cell_counts_in_each_row_that_it_covers(tmp_path):
    made = book("Rows")
    sheet = made.active
    for row in [("shop", "text"), ("A", "one"), (None, "two"), (None, "three"), ("B", "four")]:
        sheet.append(row)
    sheet.merge_cells("A2:A4")
    assert [row["shop"] for _, row in read(tmp_path, made)] == ["A", "A", "A", "B"]
    over = book("Rows")
    over.active.append(["both", None])
    over.active.append(["a", "b"])
    over.active.merge_cells("A1:B1")
    assert "column 2 of 2 has no name" in refusal(tmp_path, over).message


def test_the_first_sheet_that_shows_is_read_and_the_others_are_named(tmp_path):
    made = book("Hidden", "Reviews", "Notes")
    made["Hidden"].sheet_state = "hidden"
    made.create_chartsheet("Chart", 0)
    for name in ("Hidden", "Reviews", "Notes"):
        made[name].append(["text"])
        made[name].append([f"in {name}"])
    told = []
    assert read(tmp_path, made, emit=told.append) == [(2, {"text": "in Reviews"})]
    (notice,) = told
    assert notice.id == "N020"
    assert notice.text.endswith(
        "the sheet Reviews is read; --sheet NAME reads another one (Hidden, Notes)"
    )
    assert read(tmp_path, made, sheet="Notes", emit=told.append) == [(2, {"text": "in Notes"})]
    assert len(told) == 1
    assert refusal(tmp_path, made, sheet="Reviws").fix == "did you mean Reviews?"
    assert refusal(tmp_path, made, sheet="Other").fix == "it has Hidden, Reviews, Notes"


def test_a_sheet_without_cells_has_no_rows(tmp_path):
    assert read(tmp_path, book("Rows")) == []


@pytest.mark.parametrize(
    ("heading", "says"),
    [
        (["a", None, "c"], "in.xlsx, sheet Rows, row 1: column 2 of 3 has no name"),
        (["a", "b", " a"], "in.xlsx, sheet Rows, row 1: two columns are called a"),
    ],
)
def test_a_heading_that_names_no_columns_is_refused(tmp_path, heading, says):
    made = book("Rows")
    made.active.append(heading)
    made.active.append([1, 2, 3])
    assert refusal(tmp_path, made).message.endswith(says)


def test_what_pandas_writes_is_read(tmp_path):
    path = tmp_path / "in.xlsx"
    pandas.DataFrame({"id": [1, 2], "text": ["a", None]}).to_excel(path, index=False)
    assert read(tmp_path, path.read_bytes()) == [
        (2, {"id": 1, "text": "a"}),
        (3, {"id": 2, "text": None}),
    ]


def test_a_workbook_behind_a_password_or_broken_is_named_with_a_fix(tmp_path):
    locked = refusal(tmp_path, encrypted_workbook())
    assert (locked.id, "without one" in (locked.fix or "")) == ("E351", True)
    whole = workbook([{"text": "a" * 50_000}])
    for broken in (
        whole[: len(whole) // 2] + b"xl/",
        whole.replace(b"xl/worksheets", b"xl/worksheetx"),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
    ):
        assert refusal(tmp_path, broken).id == "E352"
    charts = book("Rows")
    charts.create_chartsheet("Chart")
    del charts["Rows"]
    assert refusal(tmp_path, charts).id == "E353"


def test_a_broken_open_document_is_named_and_does_not_hang(tmp_path):
    whole = SECTIONS["Parquet, Arrow and workbooks"]["libre.ods"].data
    for old, new in ((b"</table:table>", b"</tkble:table>"), (b"<text:p>id<", b"<text:p>id&")):
        assert old in whole, "it is stored as it is"
        assert refusal(tmp_path, whole.replace(old, new)).id == "E352"


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("in.xlsx", "python_calamine", "excel"), ("in.parquet", "pyarrow", "parquet")],
)
def test_a_missing_package_is_one_line(tmp_path, monkeypatch, name, package, extra):
    path = tmp_path / name
    path.write_bytes(FILES[name]([{"text": "a"}]))
    # As if it were not installed.
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ClaudebatchError) as caught:
        prepared(tmp_path, str(path))
    assert (caught.value.id, caught.value.fix) == ("E357", f"pip install 'claudebatch[{extra}]'")


@pytest.mark.parametrize("how", [{"text": True}, {"input_format": "csv"}])
def test_what_is_asked_for_must_be_there(tmp_path, how):
    found = refusal(tmp_path, workbook([{"text": "a"}]), **how)
    assert (found.id, found.message.endswith("in.xlsx is a workbook")) == ("E358", True)
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ClaudebatchError) as caught:
        prepared(tmp_path, str(tmp_path / "in.csv"), input_format="parquet")
    assert caught.value.message.endswith("in.csv is not Parquet")
