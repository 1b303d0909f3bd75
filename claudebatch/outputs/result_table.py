"""Results as a table: columns that were found in a first pass, and rows that are read
in a second one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from claudebatch.outputs.line_values import LineValues, ResultLines
from claudebatch.outputs.table_columns import ColumnSurvey, TableColumn, needs_message


@dataclass(frozen=True, slots=True)
class TableLayout:
    """What the user chose of a table."""

    columns: tuple[str, ...] | None = None
    """The names of its columns; None: the usual ones."""
    escape: bool = True
    """Whether cells of text files that a spreadsheet would take for a formula get a
    leading `'`.
    """


class Table:
    """The results of a run in columns."""

    def __init__(self, lines: ResultLines, layout: TableLayout) -> None:
        self._lines = lines
        self._messages = needs_message(layout.columns)
        self.escape = layout.escape
        survey = ColumnSurvey(layout.columns)
        for line in lines(self._messages):
            survey.add(LineValues(line))
        self.columns: Sequence[TableColumn] = survey.columns()

    def rows(self) -> Iterator[list[bytes | None]]:
        """The JSON text of each column's value, row by row; None for null."""
        paths = [column.path for column in self.columns]
        for record in self.records():
            yield [record.raw(path) for path in paths]

    def records(self) -> Iterator[LineValues]:
        """The results themselves."""
        for line in self._lines(self._messages):
            yield LineValues(line)
