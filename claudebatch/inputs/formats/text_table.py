"""Tables of text: CSV, TSV and their kin, read as Python's own `csv` reads them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from claudebatch.core.errors import BadRow, ClaudebatchError, Problem
from claudebatch.core.jsonl import BOM, MAX_LINE_BYTES, InputLine, encode_in_order, unreadable
from claudebatch.inputs.formats.column_names import check_columns, described
from claudebatch.inputs.line_kinds import not_json

_CHUNK = 1 << 20
_NAMES = {",": "CSV", "\t": "TSV", ";": "CSV with semicolons", "|": "CSV with bars"}
# What Excel takes for the delimiter, and writes where a program asks for it.
_SAID = re.compile(rb"sep=([,;\t|])\r?\n")
_LONGEST_SAID = len(b"sep=;\r\n")
# What pandas and R write without a name in the first place: their row numbers.
_INDEX = "index"
# The module's own limit of 128 KB a cell is shorter than a prompt may be.
csv.field_size_limit(MAX_LINE_BYTES)


@dataclass(slots=True)
class _Found:
    """The row that was found last, with its cells: they are not parsed twice."""

    row: bytes = b""
    cells: list[str] | None = None


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table with a heading. A record is a row, over as many lines as its quotes
    hold.
    """

    columns: tuple[str, ...]
    delimiter: str
    file: str = ""
    """What the user calls the file."""
    _found: _Found = field(default_factory=_Found, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The format and its columns."""
        return described(_NAMES[self.delimiter], self.columns)

    def records(self, path: Path) -> Iterator[InputLine]:
        """Every row below the heading that is not blank."""
        try:
            with path.open("rb", buffering=_CHUNK) as file:
                rows = _rows(file, self.delimiter, self.file)
                next(rows, None)
                for line, cells in rows:
                    self._found.row, self._found.cells = line.data, cells
                    yield line
        except OSError as error:
            raise unreadable(path, error) from error

    def value(self, data: bytes) -> dict[str, Any]:
        """The row's cells by the names of their columns."""
        found = self._found
        # Rows are read again by other threads, but as other objects.
        known = found.cells if found.row is data else None
        cells = _cells(data, self.delimiter) if known is None else known
        wanted = len(self.columns)
        # Empty cells beyond the heading are delimiters at the end of the line.
        if len(cells) < wanted or any(cells[wanted:]):
            raise BadRow(_wrong_count(len(cells), wanted))
        return dict(zip(self.columns, cells, strict=False))

    def recipe(self, of_lines: str) -> str | None:
        """None: a filter of JSON reads no table."""
        return None

    def members(self, value: dict[str, Any], data: bytes, names: Collection[str]) -> bytes:
        """The cells as texts: a table does not say which of them are numbers."""
        return encode_in_order({name: cell for name, cell in value.items() if name in names})


def open_table(path: Path, name: str, delimiters: Sequence[str]) -> TextTable:
    """The table at *path*, which the user calls *name*, with the one of *delimiters*
    that makes most columns of its heading. Raises `ClaudebatchError`.
    """
    with path.open("rb", buffering=_CHUNK) as file:
        delimiters = _Lines(file).delimiters or delimiters
        file.seek(0)
        heading = next(_rows(file, delimiters[0], name), None)
        if heading is None:
            return TextTable((), delimiters[0], name)
    cells, delimiter = _split_best(heading[0], name, delimiters)
    columns = _named([cell.strip() for cell in cells])
    check_columns(columns, f"{name}:{heading[0].number}")
    return TextTable(columns, delimiter, name)


def _named(columns: list[str]) -> tuple[str, ...]:
    """*columns* without delimiters at the end of the heading."""
    while len(columns) > 1 and not columns[-1]:
        columns.pop()
    if len(columns) > 1 and not columns[0] and _INDEX not in columns:
        columns[0] = _INDEX
    return tuple(columns)


def _split_best(heading: InputLine, name: str, delimiters: Sequence[str]) -> tuple[list[str], str]:
    """The cells of *heading*, with the delimiter that makes most of them."""
    found, failures = [], []
    for delimiter in delimiters:
        try:
            found.append((_cells(heading.data, delimiter), delimiter))
        except BadRow as error:
            failures.append(error.problems[0])
    best = max(found, key=lambda one: len(one[0]), default=None)
    # One column is what a heading with broken quotes makes of a wrong delimiter.
    if best is None or (failures and len(best[0]) == 1):
        problem = failures[0]
        raise ClaudebatchError(
            problem.id, f"{name}:{heading.number}: {problem.reason}", fix=problem.fix
        )
    return best


def _rows(
    file: BinaryIO, delimiter: str, name: str
) -> Iterator[tuple[InputLine, list[str] | None]]:
    """The rows of an open table, heading included, with their cells where they are
    sound. Raises `ClaudebatchError` for a quote that takes in the rest of the file.
    """
    lines = _Lines(file)
    # It takes line after line until the quotes of a row are closed; how many these were
    # is then known. After an error it begins anew.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        number, offset = lines.number + 1, lines.offset
        cells = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # All else is told when the record is read.
            if lines.ended:
                raise _never_closed(name, number) from None
        if not lines.sound:
            cells = None
        taken = lines.take()
        row = taken.rstrip(b"\r\n")
        if len(taken) > MAX_LINE_BYTES:
            raise _never_closed(name, number)
        if row.strip(b" "):
            yield InputLine(number, offset, len(row), row), cells


def _never_closed(name: str, line: int) -> ClaudebatchError:
    # Not one bad row: all rows behind it would be left out with it.
    return ClaudebatchError(
        "E315",
        f"{name}:{line}: the row that begins here does not end: a quote in it is never closed",
        fix='close the quote; a quote inside of a cell is written as ""',
    )


class _Lines:
    """Lines of a binary file as texts, with the bytes of those that were taken."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.offset = len(BOM) if file.read(len(BOM)) == BOM else 0
        file.seek(self.offset)
        self.number = 0
        first = file.readline(_LONGEST_SAID)
        said = _SAID.fullmatch(first)
        self.delimiters = (said[1].decode(),) if said is not None else ()
        """The one that the file itself says, in a line above the heading."""
        if said is not None:
            self.offset += len(first)
            self.number = 1
        file.seek(self.offset)
        self.ended = False
        """Whether more was asked for than there is."""
        self.sound = True
        """Whether the lines since the last `take` are UTF-8."""
        self._taken: list[bytes] = []
        self._size = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE_BYTES + 2) if self._size <= MAX_LINE_BYTES else b""
        if not line:
            self.ended = True
            raise StopIteration
        self.number += 1
        self.offset += len(line)
        self._size += len(line)
        self._taken.append(line)
        try:
            return line.decode()
        except UnicodeDecodeError:
            # Rows are told apart in such bytes as well; `value` complains.
            self.sound = False
            return line.decode(errors="replace")

    def take(self) -> bytes:
        """The lines since the last call."""
        data = self._taken[0] if len(self._taken) == 1 else b"".join(self._taken)
        self._taken.clear()
        self._size = 0
        self.sound = True
        return data


def _cells(data: bytes, delimiter: str) -> list[str]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        complaint = f"not valid UTF-8 at byte {error.start + 1}"
        raise BadRow(not_json(data, complaint)) from error
    try:
        # Line ends inside of quotes stay as they are.
        lines = io.StringIO(text, newline="")
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise BadRow(
            Problem("E309", f"not a row of a table: {error}", 'close the quotes; write " as ""')
        ) from error
    if len(rows) > 1:
        raise BadRow(
            Problem(
                "E313",
                "the row holds a line end (CR) outside of quotes",
                "put its cell in quotes, or convert the line ends",
            )
        )
    return rows[0] if rows else []


def _wrong_count(found: int, wanted: int) -> Problem:
    cells = "cell" if found == 1 else "cells"
    return Problem(
        "E310",
        f"the row has {found} {cells}, the heading {wanted}",
        "put cells that hold the delimiter in quotes, or add the missing ones",
    )
