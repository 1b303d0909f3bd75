"""Tables as text: CSV, TSV, Markdown, chosen columns as JSON lines; and the answers
alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import BinaryIO

from claudebatch.core.jsonl import encode_in_order
from claudebatch.outputs.line_values import FieldPath, LineValues, put_rows, text_of
from claudebatch.outputs.result_table import Table

# What spreadsheets take for the beginning of a formula, in full width as well.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LINE_ENDS = re.compile("\r\n|[\r\n\v\f\x85\u2028\u2029]")
# Texts, lists and objects; a number or a word of JSON has nothing in it to be quoted.
_MAY_NEED_QUOTES = (b'"', b"[", b"{")
# `<` would begin HTML, a backslash an escape, and a bar the next cell.
_MARKDOWN = re.compile(r"[\\|<]")


def write_separated(table: Table, file: BinaryIO, *, separator: str) -> int:
    """A line of names and one line per row, quoted as in RFC 4180; returns the number
    of rows. Null is an empty cell, an empty text is `""`.
    """
    quoted = re.compile(f'["\r\n{separator}]|^ | $|^$')
    cell = partial(_cell, quoted=quoted, escape=table.escape)
    names = [encode_in_order(column.name) for column in table.columns]
    file.write(_separated(names, cell, separator))
    return put_rows(file, (_separated(row, cell, separator) for row in table.rows()))


def write_markdown(table: Table, file: BinaryIO) -> int:
    """A table as GitHub shows it; returns the number of rows."""
    head = " | ".join(_in_markdown(column.name) for column in table.columns)
    rule = "|".join("---" for _ in table.columns)
    file.write(f"| {head} |\n|{rule}|\n".encode())
    cells = (" | ".join(_in_markdown(text_of(raw) or "") for raw in row) for row in table.rows())
    return put_rows(file, (f"| {row} |\n".encode() for row in cells))


def write_chosen_lines(table: Table, file: BinaryIO) -> int:
    """One JSON object of the table's columns per row; returns the number of rows."""
    names = [encode_in_order(column.name) for column in table.columns]
    lines = (
        b",".join(b"%b:%b" % (name, raw or b"null") for name, raw in zip(names, row, strict=True))
        for row in table.rows()
    )
    return put_rows(file, (b"{%b}\n" % line for line in lines))


def write_text(table: Table, file: BinaryIO, *, chosen: bool) -> int:
    """Each row's answer, or what was *chosen* of it, below a line with its id, as
    `tail` shows several files; returns the number of rows.
    """
    paths = [column.path for column in table.columns] if chosen else None
    return put_rows(file, (_below_its_id(record, paths) for record in table.records()))


def _below_its_id(record: LineValues, paths: Sequence[FieldPath] | None) -> bytes:
    raw = record.raw(("id",)) or b""
    name = text_of(raw) or ""
    # One line, whatever the id is.
    shown = name if not _LINE_ENDS.search(name) else raw.decode()
    texts = (
        [_answer(record)] if paths is None else [text_of(record.raw(path)) or "" for path in paths]
    )
    return "\n".join((f"==> {shown} <==", *texts, "", "")).encode()


def _answer(record: LineValues) -> str:
    answer = text_of(record.raw(("text",)))
    return answer if answer is not None else f"(no answer: {text_of(record.raw(('error',)))})"


def _separated(
    row: Iterable[bytes | None], cell: Callable[[bytes | None], str], separator: str
) -> bytes:
    # A line with nothing in it would be no row to a reader.
    line = separator.join(map(cell, row)) or '""'
    return f"{line}\n".encode()


def _cell(raw: bytes | None, *, quoted: re.Pattern[str], escape: bool) -> str:
    text = text_of(raw)
    if raw is None or text is None:
        return ""
    if not raw.startswith(_MAY_NEED_QUOTES):
        return text
    if escape and _FORMULA.match(text) and raw[:1] == b'"' and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    if quoted.search(text):
        text = text.replace('"', '""')
        return f'"{text}"'
    return text


def _in_markdown(text: str) -> str:
    escaped = _MARKDOWN.sub(lambda match: "\\" + match[0], text)
    return _LINE_ENDS.sub("<br>", escaped)
