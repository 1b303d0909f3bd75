"""One contract for every format: records are read in order, each can be read again by
its place, and says the same then.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.core.errors import BadRow, ClaudebatchError
from claudebatch.core.jsonl import MAX_LINE_BYTES
from claudebatch.inputs import Defaults, parse_line
from claudebatch.inputs.formats import RecordFormat, is_compressed, json_values, open_format, unpack
from tests.inputs.file_samples import PACKED, READ, ROWS

DEFAULTS = Defaults(max_tokens=100)


def opened(path: Path, data: bytes, **how) -> RecordFormat:
    path.write_bytes(data)
    return open_format(path, **{"name": path.name, **how})


def read_again(form: RecordFormat, path: Path) -> Iterator[tuple[int, object]]:
    """(line, value) of each record, read by its place."""
    data = path.read_bytes()
    for record in form.records(path):
        again = data[record.offset : record.offset + record.length]
        assert again == record.data
        yield record.number, form.value(again)


def values(tmp_path: Path, name: str, data: bytes, **how) -> list[tuple[int, object]]:
    path = tmp_path / name
    return list(read_again(opened(path, data, **how), path))


@pytest.mark.parametrize("kind", READ)
def test_a_file_of_another_format_is_read_as_it_is(tmp_path, kind):
    name, data = READ[kind]
    path = tmp_path / name
    form = opened(path, data)
    prompts = [
        parse_line(record.data, DEFAULTS, file=name, line=record.number, form=form)
        for record in form.records(path)
    ]
    first = prompts[0].params["messages"][0]["content"]
    assert first == ('a "b", c' if "CSV" in kind else "one")
    assert len(prompts) == (1 if "requests" in kind else 2)


SAMPLES = {
    "lines": ("a.jsonl", b'{"a": 1}\n\n"b"\r\n[3]', [(1, {"a": 1}), (3, "b"), (4, [3])]),
    "an array": (
        "a.json",
        b'\xef\xbb\xbf [\n 1,\n\n {"a":\n "]"}, "x" ]\n',
        [
            (2, 1),
            (4, {"a": "]"}),
            (5, "x"),
        ],
    ),
    "an empty array": ("a.json", b" [ ] ", []),
    "a list in an object": (
        "a.json",
        b'{\n"data": [\n[1], {"b": []}], "more": 5}',
        [
            (3, [1]),
            (3, {"b": []}),
        ],
    ),
    "indented": ("a.jsonl", b'{\n "a": 1\n}\n{\n "a": 2}', [(1, {"a": 1}), (4, {"a": 2})]),
    "a table": (
        "a.csv",
        b'a,b\r\n1,"x\ny"\r\n\r\n2,"""q"""\n',
        [
            (2, {"a": "1", "b": "x\ny"}),
            (5, {"a": "2", "b": '"q"'}),
        ],
    ),
    "semicolons": ("a.csv", b"a;b\n1,5;2\n", [(2, {"a": "1,5", "b": "2"})]),
    "tabs": ("a.tsv", "a\tb\nä\t\u2028\n".encode(), [(2, {"a": "ä", "b": "\u2028"})]),
    "one column": ("a.csv", b"text\nhi, you\n".replace(b", ", b" "), [(2, {"text": "hi you"})]),
    "row numbers of pandas": ("a.csv", b",a\n0,x\n", [(2, {"index": "0", "a": "x"})]),
    "a delimiter that is said": (
        "a.csv",
        b"sep=;\na;b,c\n1;2\n",
        [(3, {"a": "1", "b,c": "2"})],
    ),
    "delimiters at the ends": (
        "a.csv",
        b"a,b,,\n1,2,,\n3,4\n5,,,,\n",
        [
            (2, {"a": "1", "b": "2"}),
            (3, {"a": "3", "b": "4"}),
            (4, {"a": "5", "b": ""}),
        ],
    ),
    "a heading alone": ("a.csv", b"a,b\n", []),
    "nothing": ("a.csv", b"", []),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_records_have_their_lines_and_can_be_read_again(tmp_path, kind):
    name, data, expected = SAMPLES[kind]
    assert values(tmp_path, name, data) == expected


def test_text_is_read_as_it_stands(tmp_path):
    assert values(tmp_path, "a.csv", b"a,b\n[1\n", text=True) == [(1, "a,b"), (2, "[1")]
    assert values(tmp_path, "a.csv", b'{"a": 1}\n', wanted="jsonl") == [(1, {"a": 1})]
    assert values(tmp_path, "a.txt", b"a|b\n1|2\n", wanted="csv") == [(2, {"a": "1", "b": "2"})]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_values_are_found_however_small_the_pieces_that_are_read(tmp_path, monkeypatch, size):
    monkeypatch.setattr(json_values, "_CHUNK", size)
    wanted = [{"n": n, "t": ']}"\\' * n, "ü": [1.5, -2e3, True]} for n in range(20)]
    data = json.dumps(wanted, indent=1, ensure_ascii=False).encode()
    assert [value for _, value in values(tmp_path, "a.json", data)] == wanted
    numbers = b"[" + b",".join(b"%d" % n for n in range(300)) + b"]"
    assert [value for _, value in values(tmp_path, "b.json", numbers)] == list(range(300))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            b'[{"a": 1},\n {"a": tru}, {"a": 3}]',
            "a.json:2: the value that begins here is not valid JSON: invalid",
        ),
        (b'[{"a": 1}, {"a": 2}', "a.json:1: the value that begins here is not valid JSON: it ends"),
        (
            b'[{"a": 1},\n {"a": "x',
            "a.json:2: the value that begins here is not valid JSON: it ends",
        ),
        (b'{"rows": [\n1,\n2 3; 4]}', "a.json:3: the value that begins here is not valid JSON"),
    ],
)
def test_broken_json_stops_all_since_nobody_knows_what_follows(tmp_path, data, says):
    path = tmp_path / "a.json"
    form = opened(path, data)
    with pytest.raises(ClaudebatchError) as caught:
        list(form.records(path))
    assert caught.value.message.startswith(says)


def test_what_stands_behind_an_array_is_read_too(tmp_path):
    data = b'[{"a": 1}]\n{"a": 2}\n[3]'
    assert values(tmp_path, "a.json", b"[\n" + data[1:]) == [(2, {"a": 1}), (3, {"a": 2}), (4, [3])]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (b"1", "the row has 1 cell, the heading 2"),
        (b"1,2,3", "the row has 3 cells, the heading 2"),
        (b'1,"a"b', "not a row of a table"),
        (b"1,a\rb", "outside of quotes"),
        (b"1,caf\xe9", "not UTF-8; it looks like Latin-1"),
    ],
)
def test_a_bad_row_of_a_table_is_named(tmp_path, row, says):
    path = tmp_path / "a.csv"
    form = opened(path, b"a,b\n" + row + b"\n")
    (record,) = form.records(path)
    with pytest.raises(BadRow) as caught:
        form.value(record.data)
    assert says in caught.value.problems[0].reason


@pytest.mark.parametrize(
    ("heading", "says"),
    [
        (b"a,,b\n", "a.csv:1: column 2 of 3 has no name"),
        (b"a,b,a\n", "a.csv:1: two columns are called a"),
        (b'a,"b\n', "a.csv:1: the row that begins here does not end"),
    ],
)
def test_a_heading_that_names_no_columns_is_refused(tmp_path, heading, says):
    with pytest.raises(ClaudebatchError) as caught:
        opened(tmp_path / "a.csv", heading)
    assert caught.value.message.startswith(says)


@pytest.mark.parametrize("rows", [b"3,4\n", b"x\n" * (MAX_LINE_BYTES * 2 // 3)])
def test_a_quote_that_is_never_closed_stops_all_and_fills_no_memory(tmp_path, rows):
    path = tmp_path / "a.csv"
    form = opened(path, b'a,b\n0,"x\ny"\n1,"' + rows)
    with pytest.raises(ClaudebatchError) as caught:
        list(form.records(path))
    assert caught.value.message.startswith("a.csv:4: the row that begins here does not end")


# The writer of Python 3.11 leaves a CR without quotes, which its reader then splits at.
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=9)


@given(
    rows=st.lists(st.lists(cells, min_size=3, max_size=3), max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_table_is_read_as_python_reads_it(tmp_path_factory, rows, delimiter, ending, quoting):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerow(["col a", "col b", "c"])
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("table") / "a.csv"
    form = opened(path, text.getvalue().encode(), wanted="tsv" if delimiter == "\t" else "csv")
    found = [list(value.values()) for _, value in read_again(form, path)]
    expected = list(csv.reader(io.StringIO(text.getvalue(), newline=""), delimiter=delimiter))
    assert found == [row for row in expected[1:] if len(row) > 1]


@pytest.mark.parametrize("suffix", PACKED)
def test_compressed_files_are_unpacked(tmp_path, suffix):
    if suffix == ".zst":
        pytest.importorskip("zstandard", reason="an extra")
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACKED[suffix])
    assert is_compressed(path, path.name)
    into = io.BytesIO()
    unpack(path, path.name, into)
    assert into.getvalue() == ROWS


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_a_damaged_compressed_file_is_named(tmp_path, suffix):
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACKED[suffix][:-9])
    with pytest.raises(ClaudebatchError) as caught:
        unpack(path, "a", io.BytesIO())
    assert caught.value.message.startswith("a is damaged")


def test_a_file_whose_package_is_missing_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "spooled"
    path.write_bytes(PACKED[".zst"])
    with pytest.raises(ClaudebatchError) as caught:
        unpack(path, "a.jsonl.zst", io.BytesIO())
    assert caught.value.id == "E311"
    assert caught.value.message.startswith("a.jsonl.zst is compressed (zstd)")
    assert "pip install 'claudebatch[zstd]'" in caught.value.fix
