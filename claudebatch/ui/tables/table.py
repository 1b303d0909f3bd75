"""Aligned columns in plain text, as good in a pipe as on a screen."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from claudebatch.ui.sanitise import visible

# Less of a path than this says nothing.
_SHORTEST_CELL = 8


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


def fitted(
    columns: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    drop: Sequence[str],
    shorten: str = "",
) -> list[str]:
    """The same in at most *width* columns of a terminal, as far as that goes; 0: in
    any.

    The columns named in *drop* go, the first one first; before the last of them goes,
    the cells of the column *shorten* lose their beginnings.
    """
    going = [name for name in drop if name in header]
    while True:
        lines = table(columns, header, rows)
        over = max(map(cell_width, lines), default=0) - width if width else 0
        if over <= 0:
            return lines
        if len(going) <= 1 and shorten in header:
            rows = _shortened(rows, header.index(shorten), over)
            lines, shorten = table(columns, header, rows), ""
            continue
        if not going:
            return lines
        gone = header.index(going.pop(0))
        columns = columns[:gone] + columns[gone + 1 :]
        header, *rows = ([*row[:gone], *row[gone + 1 :]] for row in (header, *rows))


def _shortened(rows: Sequence[Sequence[str]], column: int, over: int) -> list[list[str]]:
    """*rows* with cells of *column* that are *over* columns shorter than its longest,
    at least as short as says something.
    """
    longest = max((cell_width(visible(row[column])) for row in rows), default=0)
    room = max(longest - over, _SHORTEST_CELL)
    return [[*row[:column], tail(row[column], room), *row[column + 1 :]] for row in rows]


def tail(text: str, width: int) -> str:
    """The end of *text* in at most *width* columns: of a path, its name."""
    text = visible(text)
    if cell_width(text) <= width:
        return text
    while cell_width(text) > width - 1:
        text = text[1:]
    return "…" + text


def _line(columns: str, row: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for side, cell, width in zip(columns, row, widths, strict=True):
        space = " " * (width - cell_width(cell))
        # Not `ljust`: that one counts characters, and not columns.
        padded.append(cell + space if side == "<" else space + cell)
    # Blanks at the end of a line would show up in every diff.
    return "  ".join(padded).rstrip()
