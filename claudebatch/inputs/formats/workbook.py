"""Spreadsheets, read by calamine: the rows of one sheet below its heading."""

from __future__ import annotations

import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from xml.parsers import expat

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.notice import Notice
from claudebatch.core.typos import meant
from claudebatch.inputs.formats.column_names import check_columns, listed
from claudebatch.inputs.formats.typed_rows import RowCopy, TypedRows

# A sheet keeps fifteen digits; as a whole number, more than these would only be zeros.
_MOST_WHOLE = 1e17
_CONTENT = "content.xml"
# zipfile says RuntimeError of an entry that is encrypted, and its NotImplementedError
# of one that is packed in a way that it does not know.
_BROKEN = (zipfile.BadZipFile, zlib.error, expat.ExpatError, RuntimeError)


def copy_sheet(path: Path, name: str, into: BinaryIO, *, sheet: str | None) -> None:
    """Write the rows of one sheet of the workbook at *path*, called *name*, *into* a
    copy: of *sheet*, else of the first one that is not hidden. Raises
    `ClaudebatchError`.
    """
    import python_calamine  # noqa: PLC0415  # an extra

    _guarded(lambda: _check_content(path), name)
    book = _guarded(lambda: python_calamine.CalamineWorkbook.from_path(str(path)), name)
    try:
        chosen, notices = _chosen(book, name, sheet)
        cells = _Cells(_guarded(lambda: book.get_sheet_by_name(chosen), name))
    finally:
        book.close()
    kind = f"Excel, sheet {chosen}"
    found = next(((row, cells_) for row, cells_ in cells.rows() if _held_in(cells_)), None)
    if found is None:
        RowCopy(into, TypedRows(kind, (), notices=notices))
        return
    top, heading = found
    names = [_heading(cell) for cell in heading]
    places = cells.used(names, top)
    columns = [names[place] for place in places]
    check_columns(columns, f"{name}, sheet {chosen}, row {top + 1}")
    copy = RowCopy(into, TypedRows(kind, tuple(columns), first=top + 2, notices=notices))
    for row in cells.below(top):
        values = [_value(row[place]) for place in places]
        if any(value is not None for value in values):
            copy.add(dict(zip(columns, values, strict=True)))
        else:
            copy.blank()


def _check_content(path: Path) -> None:
    """Read the tables of an OpenDocument once: calamine looks for the end of a broken
    one for ever.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if _CONTENT in archive.namelist():
            with archive.open(_CONTENT) as content:
                expat.ParserCreate().ParseFile(content)


def _guarded(step: Callable[[], Any], name: str) -> Any:
    import python_calamine  # noqa: PLC0415  # an extra

    try:
        return step()
    except python_calamine.PasswordError as error:
        raise ClaudebatchError(
            "E351",
            f"{name} is protected by a password",
            fix="save a copy without one (File, Info, Protect Workbook), or as CSV",
        ) from error
    except (python_calamine.CalamineError, OSError, *_BROKEN) as error:
        raise ClaudebatchError(
            "E352",
            f"{name} cannot be read as a workbook: {error}",
            fix="open it and save it again as .xlsx, or as CSV",
        ) from error


def _chosen(book: Any, name: str, sheet: str | None) -> tuple[str, tuple[Notice, ...]]:
    """The sheet's name, and what is said of the choice."""
    import python_calamine as calamine  # noqa: PLC0415  # an extra

    tables = [one for one in book.sheets_metadata if one.typ == calamine.SheetTypeEnum.WorkSheet]
    names = [one.name for one in tables]
    if sheet is not None:
        return _named(names, name, sheet), ()
    if not names:
        raise ClaudebatchError(
            "E353", f"{name} has no sheet with cells", fix="name a workbook that has one"
        )
    shown = calamine.SheetVisibleEnum.Visible
    visible = [one.name for one in tables if one.visible == shown]
    first = (visible or names)[0]
    if len(names) == 1:
        return first, ()
    others = listed([one for one in names if one != first])
    text = f"{name}: the sheet {first} is read; --sheet NAME reads another one ({others})"
    return first, (Notice("N020", text),)


def _named(names: Sequence[str], name: str, sheet: str) -> str:
    if sheet in names:
        return sheet
    near = meant(sheet, names)
    raise ClaudebatchError(
        "E354",
        f"{name} has no sheet {sheet}",
        fix=f"did you mean {near}?" if near else f"it has {listed(names)}",
    )


class _Cells:
    """The cells of a sheet, a row at a time; rows are counted from 0."""

    def __init__(self, sheet: Any) -> None:
        self._sheet = sheet
        # By row: the columns of merged cells that begin above it, with their first row.
        self._merged: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        left = 0 if sheet.start is None else sheet.start[1]
        for (top, column), (bottom, _) in sheet.merged_cell_ranges or ():
            for row in range(top + 1, bottom + 1):
                self._merged[row].append((column - left, top))

    def rows(self) -> Iterator[tuple[int, list[Any]]]:
        """Every row, with its number."""
        return enumerate(self._sheet.iter_rows())

    def below(self, heading: int) -> Iterator[list[Any]]:
        """The rows below the row *heading*. A merged cell counts in each row that it
        covers: that is where a reader sees it.
        """
        held: dict[tuple[int, int], Any] = {}  # by first row and column
        for number, row in self.rows():
            if number <= heading:
                continue
            for column, top in self._merged.get(number, ()):
                if top > heading:
                    row[column] = held[top, column]
            for column, top in self._merged.get(number + 1, ()):
                if top == number:
                    held[top, column] = row[column]
            yield row

    def used(self, names: Sequence[str], heading: int) -> list[int]:
        """The columns that have a name, or a cell below it: formats reach further to
        the right than cells do.
        """
        unnamed = [place for place, name in enumerate(names) if not name]
        held = {
            place
            for row in (self.below(heading) if unnamed else ())
            for place in unnamed
            if _held(row[place])
        }
        return [place for place, name in enumerate(names) if name or place in held]


def _held(cell: Any) -> bool:
    return not (isinstance(cell, str) and not cell.strip())


def _held_in(row: Sequence[Any]) -> bool:
    return any(map(_held, row))


def _heading(cell: Any) -> str:
    value = _value(cell)
    return "" if value is None else str(value).strip()


def _value(cell: Any) -> Any:
    """The cell as JSON; None for an empty one."""
    match cell:
        case float() if cell.is_integer() and abs(cell) < _MOST_WHOLE:
            # A sheet has one kind of numbers: what shows as 1 is 1.
            return int(cell)
        case datetime() | date() | time():
            return cell.isoformat()
        case timedelta():
            return _clock(cell)
        case str() if not cell:
            return None
    return cell


def _clock(length: timedelta) -> str:
    """As a sheet shows it: 30:00:00 are thirty hours."""
    seconds = round(length.total_seconds())
    hours, rest = divmod(abs(seconds), 3600)
    return f"{'-' if seconds < 0 else ''}{hours}:{rest // 60:02}:{rest % 60:02}"
