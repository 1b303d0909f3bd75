"""Values of Arrow's types as JSON, exactly, and what JSON has no values for."""

from __future__ import annotations

import datetime as dt
import io
import struct
import uuid
from decimal import Decimal

import pyarrow
import pytest
from pyarrow import ipc, parquet

from claudebatch.core.errors import BadRow, ClaudebatchError
from claudebatch.core.jsonl import decode
from claudebatch.inputs import Defaults, format_of
from claudebatch.inputs.formats import arrow_table
from claudebatch.inputs.formats.arrow_values import reading
from tests.inputs.test_every_format import prepared, prompts
from tests.support.input_writers import FILES

MOMENT = dt.datetime.fromisoformat("2024-01-02T03:04")
PERSON = pyarrow.struct([("role", pyarrow.string()), ("n", pyarrow.decimal128(3, 1))])
# A type, a value of it, and what becomes of it.
VALUES = {
    "null": (pyarrow.null(), None, None),
    "a boolean": (pyarrow.bool_(), True, True),
    "a whole number": (pyarrow.uint64(), 2**64 - 1, 2**64 - 1),
    "a double": (pyarrow.float64(), 1.0, 1.0),
    "a number of four bytes": (pyarrow.float32(), 0.1, 0.1),
    "a decimal": (pyarrow.decimal128(12, 2), Decimal("-1.50"), "-1.50"),
    "a long decimal": (pyarrow.decimal256(60, 0), Decimal(10**50), "1" + "0" * 50),
    "text": (pyarrow.string(), "é\n", "é\n"),
    "large text": (pyarrow.large_string(), "x", "x"),
    "a category": (pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), "x", "x"),
    "a date": (pyarrow.date32(), dt.date(2024, 2, 29), "2024-02-29"),
    "a date in milliseconds": (pyarrow.date64(), dt.date(1969, 12, 31), "1969-12-31"),
    "a moment": (pyarrow.timestamp("s"), MOMENT, "2024-01-02T03:04:00"),
    "a moment of before 1970": (pyarrow.timestamp("ms"), -1, "1969-12-31T23:59:59.999"),
    "a moment in nanoseconds": (pyarrow.timestamp("ns"), 1, "1970-01-01T00:00:00.000000001"),
    "a moment in a zone": (
        pyarrow.timestamp("us", "Europe/Berlin"),
        dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC),
        "2024-07-01T12:00:00Z",
    ),
    "a time": (pyarrow.time32("s"), dt.time(23, 59), "23:59:00"),
    "a time in nanoseconds": (pyarrow.time64("ns"), 1_500_000_000, "00:00:01.5"),
    "a duration": (pyarrow.duration("ms"), dt.timedelta(hours=30, seconds=-0.5), "PT107999.5S"),
    "a negative duration": (pyarrow.duration("s"), dt.timedelta(seconds=-90), "-PT90S"),
    "a list": (pyarrow.list_(pyarrow.date32()), [dt.date(2020, 1, 1), None], ["2020-01-01", None]),
    "a list of numbers": (pyarrow.list_(pyarrow.float32(), 2), [0.1, 0.2], [0.1, 0.2]),
    "a structure": (
        pyarrow.struct([("a", pyarrow.int8()), ("when", pyarrow.timestamp("s"))]),
        {"a": 1, "when": MOMENT},
        {"a": 1, "when": "2024-01-02T03:04:00"},
    ),
    "structures in a list": (
        pyarrow.list_(
            pyarrow.struct([("role", pyarrow.string()), ("n", pyarrow.decimal128(3, 1))])
        ),
        [{"role": "user", "n": Decimal("1.0")}, None],
        [{"role": "user", "n": "1.0"}, None],
    ),
    "a map": (pyarrow.map_(pyarrow.string(), pyarrow.date32()), [("a", None)], {"a": None}),
    "a UUID": (pyarrow.uuid(), uuid.UUID(int=1).bytes, str(uuid.UUID(int=1))),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_each_type_has_one_value_in_json(tmp_path, kind, format_):
    type_, value, expected = VALUES[kind]
    if type_ == pyarrow.uuid():
        stored = pyarrow.array([value, None], pyarrow.binary(16))
        column = pyarrow.ExtensionArray.from_storage(type_, stored)
    else:
        column = pyarrow.array([value, None], type_)
    table = pyarrow.table({"prompt": ["a", "b"], "x": column})
    path = tmp_path / f"in.{format_}"
    if format_ == "arrow":
        with ipc.new_file(str(path), table.schema) as file:
            file.write_table(table)
    else:
        parquet.write_table(table, path)
    found = prompts(prepared(tmp_path, str(path)))
    assert [decode(prompt.columns)["x"] for prompt in found] == [expected, None]


def test_numbers_that_are_none_are_null(tmp_path):
    table = pyarrow.table({"prompt": ["a", "b"], "x": [float("nan"), float("inf")]})
    parquet.write_table(table, tmp_path / "in.parquet")
    found = prompts(prepared(tmp_path, str(tmp_path / "in.parquet")))
    assert [prompt.columns for prompt in found] == [
        b'{"prompt":"a","x":null}',
        b'{"prompt":"b","x":null}',
    ]


@pytest.mark.parametrize(
    "type_",
    [
        pyarrow.binary(),
        pyarrow.list_(pyarrow.binary()),
        pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
        pyarrow.month_day_nano_interval(),
        pyarrow.map_(pyarrow.int8(), pyarrow.string()),
    ],
)
def test_other_types_have_none(type_):
    assert reading(type_) is None


def test_a_column_without_text_is_left_out_and_named(tmp_path):
    table = pyarrow.table({"prompt": ["a"], "photo": [b"\xff"], "__index_level_0__": [1]})
    parquet.write_table(table, tmp_path / "in.parquet")
    told = []
    file = prepared(tmp_path, str(tmp_path / "in.parquet"), emit=told.append)
    assert [prompt.columns for prompt in prompts(file)] == [b'{"prompt":"a"}']
    (notice,) = told
    assert notice.id == "W019"
    assert "the column photo is left out: it holds binary, which is no text" in notice.text


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (
            pyarrow.array([b"a", b"caf\xe9", b"c"]).view(pyarrow.string()),
            "the column x holds bytes that are not UTF-8",
        ),
        (
            pyarrow.array([0, 2**40, 0]).cast(pyarrow.timestamp("s")),
            "the column x holds a moment outside of the years 1 to 9999",
        ),
    ],
)
def test_a_bad_value_is_a_bad_row_and_no_other(tmp_path, column, says):
    path = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.table({"prompt": ["a", "b", "c"], "x": column}), path)
    file = prepared(tmp_path, str(path))
    form = format_of(file.path, Defaults(max_tokens=1), name="in")
    good, bad, last = form.records(file.path)
    assert form.value(good.data)["prompt"] == "a"
    assert (form.value(last.data)["prompt"], last.number) == ("c", 3)
    with pytest.raises(BadRow) as caught:
        form.value(bad.data)
    assert says in caught.value.problems[0].reason


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _zeros(data: bytes) -> bytes:
    return data[:100] + bytes(len(data) - 300) + data[-200:]


def _flipped(data: bytes) -> bytes:
    """Every byte of the middle differs: places in texts point to nowhere."""
    end = len(data) // 2
    return data[: end - 400] + bytes(255 - byte for byte in data[end - 400 : end]) + data[end:]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, _cut) for name in ("in.parquet", "in.feather", "in.arrows")),
        *((name, _zeros) for name in ("in.parquet", "in.feather")),
        *((name, _flipped) for name in ("in.parquet", "in.feather", "in.arrows")),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, damage):
    rows = [{"prompt": f"{number} {'x' * number}"} for number in range(999)]
    path = tmp_path / name
    path.write_bytes(damage(FILES[name](rows)))
    with pytest.raises(ClaudebatchError) as caught:
        prepared(tmp_path, str(path))
    assert caught.value.id == "E348"
    assert str(path) in caught.value.message
    assert [left for left in tmp_path.iterdir() if left != path] == []


@pytest.mark.parametrize("name", ["in.parquet", "in.feather", "in.arrows"])
def test_a_damaged_name_of_a_column_is_told(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name]([{"prompt": "a", "review": "b"}]).replace(b"review", b"rev\xffew"))
    with pytest.raises(ClaudebatchError) as caught:
        prepared(tmp_path, str(path))
    assert caught.value.id == "E348"


def test_places_that_point_out_of_a_file_are_told(tmp_path):
    into = io.BytesIO()
    table = pyarrow.table({"prompt": ["a" * 100, "b"]})
    with ipc.new_file(into, table.schema) as file:
        file.write_table(table)
    places, wrong = struct.pack("<iii", 0, 100, 101), struct.pack("<iii", 0, 2**30, 2**30 + 1)
    assert places in into.getvalue()
    (tmp_path / "in.arrow").write_bytes(into.getvalue().replace(places, wrong))
    with pytest.raises(ClaudebatchError) as caught:
        prepared(tmp_path, str(tmp_path / "in.arrow"))
    assert caught.value.id == "E348"


def test_an_encrypted_file_is_named(tmp_path):
    path = tmp_path / "in.parquet"
    path.write_bytes(b"PARE" + bytes(40) + b"\x10\x00\x00\x00PARE")
    with pytest.raises(ClaudebatchError) as caught:
        prepared(tmp_path, str(path))
    assert caught.value.id == "E349"


def test_of_wide_rows_a_few_are_read_at_once():
    assert arrow_table._rows_at_once(640, 40) == 2048
    assert arrow_table._rows_at_once(10**9, 1000) == 8
    assert arrow_table._rows_at_once(10**9, 1) == 1
