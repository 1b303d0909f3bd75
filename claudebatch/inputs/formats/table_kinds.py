"""Files of tables that are no text: how they are recognised, and the package that reads
them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.jsonl import unreadable
from claudebatch.inputs.file_start import FileStart
from claudebatch.inputs.formats.arrow_table import copy_arrow, copy_parquet
from claudebatch.inputs.formats.workbook import copy_sheet


@dataclass(frozen=True, slots=True)
class TableKind:
    """One kind of such files."""

    name: str
    """What the file is, after "… is"."""
    wanted: str
    """How `--input-format` calls it."""
    package: str
    extra: str
    recognise: Callable[[FileStart], bool]

    def require(self, name: str) -> None:
        """Raise `ClaudebatchError` for the file *name* where the package is missing."""
        if find_spec(self.package) is None:
            raise ClaudebatchError(
                "E357",
                f"{name} is {self.name}, which needs one more package",
                fix=f"pip install 'claudebatch[{self.extra}]'",
            )

    def copy(self, path: Path, name: str, into: BinaryIO, *, sheet: str | None) -> None:
        """Write the rows of the file at *path*, called *name*, *into* a copy. Raises
        `ClaudebatchError`.
        """
        self.require(name)
        match self.wanted:
            case "parquet":
                copy_parquet(path, name, into)
            case "arrow":
                copy_arrow(path, name, into)
            case _:
                copy_sheet(path, name, into, sheet=sheet)


def _is_workbook(start: FileStart) -> bool:
    # All of Office, and all of OpenDocument, are archives of a kind each.
    if start.first.startswith(b"PK\x03\x04"):
        inside = (start.last, start.first[:200])
        return any(b"xl/" in part or b"opendocument.spreadsheet" in part for part in inside)
    return start.first.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")


_ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
TABLE_KINDS = (
    TableKind(
        *("Parquet", "parquet", "pyarrow", "parquet"),
        lambda start: start.first.startswith((b"PAR1", b"PARE")),
    ),
    TableKind(
        *("Arrow (Feather)", "arrow", "pyarrow", "parquet"),
        lambda start: start.first.startswith(_ARROW),
    ),
    TableKind("a workbook", "excel", "python_calamine", "excel", _is_workbook),
)


def table_kind(path: Path, name: str, *, wanted: str | None) -> TableKind | None:
    """The kind of the file at *path*, called *name*; None for one that is no such
    table. Raises `ClaudebatchError` where the user *wanted* something else.
    """
    try:
        start = FileStart.read(path, "")
    except OSError as error:
        raise unreadable(path, error) from error
    found = next((kind for kind in TABLE_KINDS if kind.recognise(start)), None)
    asked = next((kind for kind in TABLE_KINDS if kind.wanted == wanted), None)
    if found is not asked and (asked is not None or (found is not None and wanted is not None)):
        is_ = "not " + asked.name if asked is not None else found.name if found else ""
        raise ClaudebatchError(
            "E358",
            f"{name} is {is_}",
            fix="leave out --input-format and --text: the kind of a file is seen",
        )
    return found
