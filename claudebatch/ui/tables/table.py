"""Aligned columns in plain text, as good in a pipe as on a screen."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from claudebatch.ui.sanitise import visible


def cell_width(text: str) -> int:
    """The columns of a terminal that *text* takes: two for wide characters, none for
    combining ones.
    """
    # By far the most cells.
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    # Chinese and Japanese characters, and most emoji.
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def table(columns: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; *columns* has one `<` (flush left) or `>` (flush right) for
    each column.
    """
    cells = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(cell_width(row[column]) for row in cells) for column in range(len(columns))]
    return [_line(columns, row, widths) for row in cells]


def _line(columns: str, row: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for side, cell, width in zip(columns, row, widths, strict=True):
        space = " " * (width - cell_width(cell))
        # Not `ljust`: that one counts characters, and not columns.
        padded.append(cell + space if side == "<" else space + cell)
    # Blanks at the end of a line would show up in every diff.
    return "  ".join(padded).rstrip()
