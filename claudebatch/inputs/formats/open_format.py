"""Which format a file has: by what the user says, its name and its first bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from claudebatch.core.jsonl import BOM, STDIN, unreadable
from claudebatch.inputs.file_kinds import check_kind
from claudebatch.inputs.file_start import FileStart
from claudebatch.inputs.formats.compressed import SUFFIXES
from claudebatch.inputs.formats.json_lines import JsonLines, TextLines
from claudebatch.inputs.formats.json_values import JsonValues
from claudebatch.inputs.formats.place import check_place
from claudebatch.inputs.formats.record_format import RecordFormat
from claudebatch.inputs.formats.text_table import open_table
from claudebatch.inputs.formats.typed_rows import typed_rows

FormatName: TypeAlias = Literal["jsonl", "json", "csv", "tsv", "text", "parquet", "arrow", "excel"]
"""The formats that can be asked for by name."""
_TABLES: Mapping[str, FormatName] = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
_DELIMITERS = (",", ";", "\t", "|")
FORMATS: tuple[FormatName, ...] = get_args(FormatName)


def open_format(
    path: Path, *, name: str, text: bool = False, wanted: FormatName | None = None
) -> RecordFormat:
    """The format of the file at *path*, which the user calls *name*: of a copy, where
    it is a table without places. *text*: each line is a plain prompt; *wanted*: the
    user knows better than the file's looks.

    Raises `ClaudebatchError` for a file that is of none or cannot be read.
    """
    try:
        check_place(path, name)
        copied = typed_rows(path)
        if copied is not None:
            return copied
        start = FileStart.read(path, _suffix(name))
        return _chosen(start, path, name, "text" if text else wanted)
    except OSError as error:
        raise unreadable(path, error) from error


def _suffix(name: str) -> str:
    """The ending that tells the format."""
    path = Path(name)
    inner = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    return "" if name == STDIN else inner.suffix.lower()


def _chosen(start: FileStart, path: Path, name: str, wanted: FormatName | None) -> RecordFormat:
    # Compressed and other binary files are none of the formats, whatever is wanted.
    check_kind(start, name, text=wanted is not None)
    match wanted or _seen(start):
        case "text":
            return TextLines()
        case "json":
            return _json(start, name)
        case "csv":
            found = start.table
            return open_table(path, name, _DELIMITERS if found is None else (found[0],))
        case "tsv":
            return open_table(path, name, ("\t",))
        case _:
            return JsonLines()


def _seen(start: FileStart) -> FormatName:
    if start.suffix in _TABLES and start.text[:1] not in (b"{", b"["):
        return _TABLES[start.suffix]
    if start.table is not None:
        return "csv"
    whole = start.is_array or start.is_indented or start.list_name is not None
    return "json" if whole else "jsonl"


def _json(start: FileStart, name: str) -> JsonValues:
    bom = len(BOM) if start.first.startswith(BOM) else 0
    if start.list_name is not None:
        begin = start.first.index(b"[") + 1
        return JsonValues(
            f'a JSON object with a list "{start.list_name}"',
            begin,
            is_array=True,
            in_object=True,
            file=name,
            each=f".{start.list_name}[] | ",
        )
    if start.text.startswith(b"["):
        begin = start.first.index(b"[", bom) + 1
        return JsonValues("a JSON array", begin, is_array=True, file=name, each=".[] | ")
    return JsonValues("indented JSON", file=name)
