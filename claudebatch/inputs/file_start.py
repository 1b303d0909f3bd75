"""The beginning and the end of an input file, and small questions about them: enough to
tell what kind of file it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from claudebatch.core.jsonl import BOM, InvalidJson, decode

# A row of a table or an array may be long; a ZIP archive keeps its names at the end.
_LOOKED_AT = 1 << 16
_LONGEST_HEADING = 60
_HEADING = re.compile(r"[^\W\d][\w .()/#-]*")
_DELIMITERS = (",", "\t", ";")
_OF_MESSAGES = re.compile(rb'\[\s*\{\s*"(role|content)"\s*:')
_TRUNCATED = "in the middle of a value"


@dataclass(frozen=True)
class FileStart:
    """What is looked at of one file."""

    first: bytes
    last: bytes
    suffix: str = ""
    """The ending of its name, in lower case; empty for standard input."""

    @classmethod
    def read(cls, path: Path, suffix: str) -> FileStart:
        """That of the file at *path*. Raises `OSError`."""
        with path.open("rb") as file:
            first = file.read(_LOOKED_AT)
            file.seek(max(0, path.stat().st_size - _LOOKED_AT))
            return cls(first, file.read(_LOOKED_AT), suffix)

    @cached_property
    def text(self) -> bytes:
        """Its first bytes without a BOM and without white space before them."""
        return self.first.removeprefix(BOM).lstrip()

    @cached_property
    def lines(self) -> list[bytes]:
        """Its first lines that are not blank; the last one may be cut."""
        return [line.rstrip() for line in self.text.split(b"\n") if not line.isspace() and line]

    @property
    def utf16(self) -> str | None:
        """The kind of UTF-16 that it is: by its BOM, or by Latin characters of two
        bytes each; None for no UTF-16.
        """
        if self.first.startswith((b"\xff\xfe", b"\xfe\xff")):
            return None if self.is_utf32 else "UTF-16"
        # Without a BOM the name alone would stand for one order of bytes or the other,
        # by the machine.
        wide = [byte == 0 for byte in self.first[:4]]
        orders = {(False, True, False, True): "UTF-16LE", (True, False, True, False): "UTF-16BE"}
        return next((name for order, name in orders.items() if wide == list(order)), None)

    @property
    def is_utf32(self) -> bool:
        """A BOM of UTF-32."""
        return self.first.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"))

    @property
    def has_cr_only(self) -> bool:
        """Several lines that end in CR alone, as old Macs wrote them."""
        lines = self.text.rstrip().split(b"\r")
        return b"\n" not in self.first and len(lines) > 1 and _value(lines[0]) is not None

    @property
    def is_array(self) -> bool:
        """One JSON array over the whole file, which is no row."""
        if not self.text.startswith(b"["):
            return False
        first = _value(self.lines[0])
        # A whole array in the first line may be a row: a conversation, of which each
        # line has one.
        if isinstance(first, list):
            return len(self.lines) == 1 and not _is_conversation(first)
        # The start may end before the first line does.
        return first is None and (len(self.lines) > 1 or not _OF_MESSAGES.match(self.text))

    @property
    def is_conversation(self) -> bool:
        """An array over several lines whose first item is a message."""
        return self.is_array and _OF_MESSAGES.match(self.text) is not None

    @property
    def is_indented(self) -> bool:
        """An object that goes on over several lines."""
        lines = self.lines
        if len(lines) < 2 or not self.text.startswith(b"{") or not _is_cut(lines[0]):
            return False
        # Half an object and then a whole one is a torn line, not an indented file.
        return not lines[1].startswith(b"{") and _value(lines[1]) is None

    @property
    def list_name(self) -> str | None:
        """The name of the list that an object holds and that begins the file."""
        found = re.match(rb'\{\s*"(requests|data|rows|prompts|items|examples)"\s*:\s*\[', self.text)
        return found[1].decode() if found else None

    @cached_property
    def table(self) -> tuple[str, tuple[str, ...]] | None:
        """Delimiter and headings of a table of text; None for every other file."""
        if not self.lines or self.text[:1] in (b"{", b"["):
            return None
        heading = self.lines[0].decode(errors="replace")
        named = self.suffix in (".csv", ".tsv", ".tab")
        # "a,b" in quotes is a prompt, unless the file is called a table.
        if not named and _value(self.lines[0]) is not None:
            return None
        for delimiter in sorted(_DELIMITERS, key=heading.count, reverse=True):
            cells = heading.split(delimiter)
            if all(map(_is_heading, cells)) and (named or self._goes_on(delimiter, len(cells))):
                return delimiter, tuple(cell.strip(' "') for cell in cells)
        return None

    def _goes_on(self, delimiter: str, columns: int) -> bool:
        """Whether the second line looks like a row of a table of *columns*."""
        if columns < 2 or len(self.lines) < 2:
            return False
        row = self.lines[1].decode(errors="replace")
        # A cell may hold the delimiter, and a line end in its quotes.
        return row.count(delimiter) >= columns - 1 or row.count('"') % 2 == 1


def _is_heading(cell: str) -> bool:
    quoted = len(cell) > 1 and cell.startswith('"') and cell.endswith('"')
    bare = cell[1:-1] if quoted else cell
    # "Tell me, please" is a prompt: a blank follows its comma.
    return len(bare) <= _LONGEST_HEADING and _HEADING.fullmatch(bare) is not None


def _is_conversation(items: list[object]) -> bool:
    return bool(items) and all(isinstance(item, dict) and "role" in item for item in items)


def _value(line: bytes) -> object:
    try:
        return decode(line)
    except InvalidJson:
        return None


def _is_cut(line: bytes) -> bool:
    try:
        decode(line)
    except InvalidJson as error:
        return _TRUNCATED in str(error)
    return False
