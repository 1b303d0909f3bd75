"""Aligned columns in plain text, as good in a pipe as on a screen."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from claudebatch.ui.sanitise import visible

# The name of a file, as they usually are; less of it says little.
_SHORTEST_CELL = 18


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

    The columns named in *drop* go, the first one first. The first time that the column
    *shorten* is named there, its cells only lose their beginnings.
    """
    shown = list(range(len(columns)))
    going, shortened = [name for name in drop if name in header], False
    while True:
        cells = [[row[number] for number in shown] for row in (header, *rows)]
        sides = "".join(columns[number] for number in shown)
        lines = table(sides, cells[0], cells[1:])
        over = max(map(cell_width, lines), default=0) - width if width else 0
        if over > 0 and shortened and shorten in cells[0]:
            short = _shortened(cells[1:], cells[0].index(shorten), over)
            lines = table(sides, cells[0], short)
            over = max(map(cell_width, lines), default=0) - width
        if over <= 0 or not going:
            return lines
        name = going.pop(0)
        if name == shorten and not shortened:
            shortened = True
        else:
            shown.remove(header.index(name))


def _shortened(rows: Sequence[Sequence[str]], column: int, over: int) -> list[list[str]]:
    """*rows* with cells of *column* that are *over* columns shorter than its longest,
    as long as they still say something.
    """
    longest = max((cell_width(visible(row[column])) for row in rows), default=0)
    room = max(longest - over, _SHORTEST_CELL)
    return [[*row[:column], tail(row[column], room), *row[column + 1 :]] for row in rows]


def beginning(text: str, width: int) -> str:
    """The beginning of *text* in at most *width* columns, with an ellipsis where it
    goes on.
    """
    text = visible(text)
    if cell_width(text) <= width:
        return text
    kept, room = [], width - 1
    for character in text:
        room -= cell_width(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


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
