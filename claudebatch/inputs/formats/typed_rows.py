"""Rows whose values have types, copied out of files that have no places to come back
to: one JSON object on each line, below a heading of our own.

Such a copy lies in the run's folder. Nobody else writes this format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from claudebatch.core.errors import BadRow, Problem
from claudebatch.core.jsonl import (
    MAX_LINE_BYTES,
    InputLine,
    InvalidJson,
    chosen_members,
    decode,
    encode_in_order,
    read_lines,
)
from claudebatch.core.notice import Notice
from claudebatch.inputs.formats.column_names import described
from claudebatch.inputs.line_kinds import not_json

# Another layout gets another number: copies of an older version are made anew.
MARK = b"#claudebatch-rows-1 "


class _Told(NamedTuple):
    """A message, as a copy keeps it."""

    id: str
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class TypedRows:
    """The rows of a copy, and what is known of the file that they came from."""

    kind: str
    """What that file was, such as "Parquet"."""
    columns: tuple[str, ...]
    first: int = 1
    """The number of the first row in its file."""
    of_files: bool = False
    """Whether each row is a file of its own, with a `path`."""
    notices: tuple[Notice, ...] = ()
    """What is said of the file in every session."""

    @property
    def name(self) -> str:
        """The kind of the file and its columns."""
        return described(self.kind, self.columns)

    def records(self, path: Path) -> Iterator[InputLine]:
        """Every row, with its number in the file that it came from."""
        for line in read_lines(path):
            # The heading is the copy's first line.
            if line.number > 1:
                number = line.number - 2 + self.first
                yield InputLine(number, line.offset, line.length, line.data)

    def value(self, data: bytes) -> dict[str, Any]:
        """The row's values by the names of their columns."""
        try:
            value = decode(data)
        except InvalidJson as error:
            raise BadRow(not_json(data, str(error))) from error
        match value:
            case dict():
                return value
            case [str(), str(), str()]:
                told = _Told(*value)
                raise BadRow(Problem(told.id, told.text, told.fix))
        raise BadRow(not_json(data, "no row of a table"))

    def recipe(self, of_lines: str) -> str | None:
        """None: a filter of JSON reads no such file."""
        return None

    def members(self, value: dict[str, Any], data: bytes, names: Collection[str]) -> bytes:
        """The members as the copy spells them."""
        return chosen_members(data, names)

    @property
    def heading(self) -> bytes:
        """The first line of a copy."""
        notices = [[notice.id, notice.text] for notice in self.notices]
        said = [self.kind, self.columns, self.first, self.of_files, notices]
        return MARK + encode_in_order(said) + b"\n"


class RowCopy:
    """Writes the rows of one file, one after the other."""

    def __init__(self, into: BinaryIO, rows: TypedRows) -> None:
        self._into = into
        self._into.write(rows.heading)

    def add(self, row: Mapping[str, Any]) -> None:
        """A row as its file has it."""
        self._write(encode_in_order(row))

    def blank(self) -> None:
        """A place in the file without a row: the next ones keep their numbers."""
        self._write(b"")

    def bad(self, problem: Problem) -> None:
        """A row that cannot be read, told when its turn comes."""
        self._write(encode_in_order([problem.id, problem.reason, problem.fix]))

    def _write(self, data: bytes) -> None:
        # Longer ones are cut by the reader of lines, and refused for their length.
        self._into.write(data[: MAX_LINE_BYTES + 1] + b"\n")


def typed_rows(path: Path) -> TypedRows | None:
    """What the copy at *path* says of its rows; None for a file that is no copy. Raises
    `OSError`.
    """
    with path.open("rb") as file:
        if file.read(len(MARK)) != MARK:
            return None
        try:
            kind, columns, first, of_files, notices = decode(file.readline())
            said = tuple(Notice(told.id, told.text) for told in starmap(_Told, notices))
            return TypedRows(kind, tuple(columns), first, of_files, said)
        except (InvalidJson, TypeError, ValueError):
            return None


def place_of(form: object, name: str, line: InputLine) -> tuple[str, int]:
    """The file and the line in which *line* of the input *name* stands for the user."""
    if isinstance(form, TypedRows) and form.of_files:
        value = decode(line.data)
        if isinstance(value, dict):
            return str(value.get("path", name)), 1
    return name, line.number
