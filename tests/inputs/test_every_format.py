"""One contract for all formats, copies included: what went in comes out, in order, and
each record can be read again by its place.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from claudebatch.core.domain import Prompt
from claudebatch.core.events import nobody
from claudebatch.core.jsonl import read_at
from claudebatch.inputs import Defaults, format_of, parse_line
from claudebatch.inputs.row_template import RowTemplate, TurnTemplate
from claudebatch.inputs.template import Template
from claudebatch.setup.input_files import InputFile, PreparedInputs
from claudebatch.setup.run_options import RunOptions
from tests.support.input_writers import FILES, FOLDER, write_input

DEFAULTS = Defaults(max_tokens=100)
ROWS = [
    {"id": f"row {number:02}", "prompt": f'{number}, “a”\n"b" {"é" * number}', "lang": "fr"}
    for number in range(30)
]
# The number of the first row, where it is not the first of its file.
HEADED = {name: 2 for name in FILES if "csv" in name or "tsv" in name or "xlsx" in name}


def prepared(folder: Path, *inputs: str, emit=nobody, stdin=None, **how) -> InputFile:
    options = RunOptions(inputs=inputs, **how)
    (file,) = PreparedInputs(options, folder, emit).files(stdin)
    return file


def prompts(file: InputFile, defaults: Defaults = DEFAULTS) -> list[Prompt]:
    """Each prompt of *file*, made of what is read again at its place."""
    form = format_of(file.path, defaults, name=file.name)
    found = []
    with file.path.open("rb") as opened:
        for record in form.records(file.path):
            data = read_at(opened, record.offset, record.length)
            assert data == record.data
            found.append(parse_line(data, defaults, file=file.name, line=record.number, form=form))
    return found


def asking(text: str) -> RowTemplate:
    """The template that asks *text* of each row."""
    return RowTemplate((TurnTemplate("user", Template.parsed(text)),))


def texts(found: list[Prompt]) -> list[str]:
    return [prompt.params["messages"][0]["content"] for prompt in found]


@pytest.mark.parametrize("name", FILES)
def test_what_went_in_comes_out_in_its_order(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_input(tmp_path, name, ROWS)
    place = tmp_path / "copies"
    place.mkdir()
    found = prompts(prepared(place, name))
    assert texts(found) == [row["prompt"] for row in ROWS]
    assert [prompt.id for prompt in found] == [row["id"] for row in ROWS]
    assert all(b'"lang":"fr"' in prompt.columns for prompt in found)
    if name in HEADED:
        numbers = [prompt.line for prompt in found]
        assert numbers[0] == HEADED[name]
        assert numbers == sorted(set(numbers))
    for copy in place.iterdir():
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert len(list(place.iterdir())) <= 1


@pytest.mark.parametrize("name", FILES)
def test_standard_input_may_be_any_of_them(tmp_path, name):
    spooled = tmp_path / "input.jsonl"
    spooled.write_bytes(FILES[name](ROWS))
    file = prepared(tmp_path, "-", stdin=spooled)
    assert file.name == "stdin"
    # Half of the rows of a table without a name are enough to know it by.
    assert [prompt.id for prompt in prompts(file)] == [row["id"] for row in ROWS]


def test_a_folder_of_texts_is_a_row_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_input(tmp_path, FOLDER, ROWS)
    (tmp_path / "copies").mkdir()
    found = prompts(prepared(tmp_path / "copies", FOLDER, each_file=True))
    assert texts(found) == [row["prompt"] for row in ROWS]
    assert [prompt.id for prompt in found] == [row["id"] for row in ROWS]


@pytest.mark.parametrize("name", ["in.csv.gz", "in.parquet", "in.parquet.bz2", "in.xlsx"])
def test_a_copy_is_of_one_state_of_its_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "copies"
    place.mkdir()
    write_input(tmp_path, name, ROWS)
    first = prepared(place, name)
    made = first.path.stat().st_mtime_ns
    assert prepared(place, name).path.stat().st_mtime_ns == made
    write_input(tmp_path, name, ROWS[:3])
    again = prepared(place, name)
    assert again.path != first.path
    # Of the same size, at another time.
    os.utime(tmp_path / name, ns=(1, 1))
    last = prepared(place, name)
    assert last.path != again.path
    again = last
    assert len(prompts(again)) == 3
    assert list(place.iterdir()) == [again.path]
