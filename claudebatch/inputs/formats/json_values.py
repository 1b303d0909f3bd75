"""JSON values over any number of lines: one array of rows, an object that holds the
array, or indented values one after the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from claudebatch.core.errors import BadRow, ClaudebatchError
from claudebatch.core.jsonl import (
    BOM,
    MAX_LINE_BYTES,
    InputLine,
    InvalidJson,
    chosen_members,
    decode,
    unreadable,
)
from claudebatch.inputs.line_kinds import not_json

_CHUNK = 1 << 20
# More without the end of a value cannot become a request.
_MOST_HELD = 2 * MAX_LINE_BYTES
_BETWEEN = re.compile(r"[\s,]*")
# Control characters are let through here: `value` complains of them.
_scan = json.JSONDecoder(strict=False).raw_decode


@dataclass(frozen=True, slots=True)
class JsonValues:
    """Values with commas or white space between them."""

    name: str
    begin: int = 0
    """Where the first value may begin, in bytes: behind an array's bracket."""
    is_array: bool = False
    """Whether a bracket ends them."""
    in_object: bool = False
    """Whether the array is a member of an object, which goes on behind it."""
    file: str = ""
    """What the user calls the file."""
    each: str = ""
    """The beginning of a filter of jq that takes each of them."""

    def records(self, path: Path) -> Iterator[InputLine]:
        """Every value. Raises `ClaudebatchError` at the first that is no JSON, because
        nobody can say where the next one begins.
        """
        try:
            with path.open("rb") as file:
                head = file.read(max(self.begin, len(BOM)))
                begin = self.begin or (len(BOM) if head == BOM else 0)
                file.seek(begin)
                line = 1 + head[:begin].count(b"\n")
                yield from _Scanner(file, self, begin, line).values()
        except OSError as error:
            raise unreadable(path, error) from error

    def value(self, data: bytes) -> Any:
        """The decoded value."""
        try:
            return decode(data)
        except InvalidJson as error:
            raise BadRow(not_json(data, str(error))) from error

    def recipe(self, of_lines: str) -> str | None:
        """The filter, of each value."""
        before, quote, rest = of_lines.partition("jq -c '")
        return f"{before}{quote}{self.each}{rest}" if quote and not before else None

    def members(self, value: dict[str, Any], data: bytes, names: Collection[str]) -> bytes:
        """The members as they are spelt."""
        return chosen_members(data, names)


class _Scanner:
    """Finds where values end, a piece of the file at a time."""

    def __init__(self, file: BinaryIO, of: JsonValues, begin: int, line: int) -> None:
        self._file = file
        self._of = of
        self._is_array = of.is_array
        # Mutable: what is at hand, a character for each byte, so that places in it are
        # places in the file; where that begins; how much is read next.
        self._text = ""
        self._offset = begin
        self._line = line
        self._more = _CHUNK
        self._ended = False

    def values(self) -> Iterator[InputLine]:
        """Each value with its place."""
        place = 0
        while True:
            gap = self._skip(place)
            if self._is_array and self._text.startswith("]", gap):
                if self._of.in_object:
                    return
                # Rows behind an array would be left out without a word.
                self._is_array, place = False, gap + 1
                continue
            end = self._end_of_value(gap)
            if end is not None:
                yield self._record(gap, end)
                self._line += self._text.count("\n", gap, end)
                place, self._more = end, _CHUNK
            elif self._ended or len(self._text) - gap > _MOST_HELD:
                if self._is_array or gap < len(self._text):
                    raise self._broken(gap)
                return
            else:
                self._read_on(gap)
                place = 0

    def _skip(self, place: int) -> int:
        found = _BETWEEN.match(self._text, place)
        gap = found.end() if found is not None else place
        self._line += self._text.count("\n", place, gap)
        return gap

    def _end_of_value(self, begin: int) -> int | None:
        """Where the value at *begin* ends; None where its end is not at hand."""
        try:
            _, end = _scan(self._text, begin)
        except (ValueError, RecursionError):
            return None
        # A number at the end of what is at hand may go on.
        return end if end < len(self._text) or self._ended else None

    def _record(self, begin: int, end: int) -> InputLine:
        data = self._text[begin:end].encode("latin-1")
        return InputLine(self._line, self._offset + begin, len(data), data)

    def _broken(self, begin: int) -> ClaudebatchError:
        """No value at *begin*, or an array that is not closed."""
        data = self._record(begin, min(len(self._text), begin + MAX_LINE_BYTES)).data
        try:
            decode(data)
            reason = "not valid JSON"
        except InvalidJson as error:
            reason = str(error)
        return ClaudebatchError(
            "E314",
            f"{self._of.file}:{self._line}: the value that begins here is {reason}",
            fix="fix it: nobody can say where the next value begins",
        )

    def _read_on(self, place: int) -> None:
        data = self._file.read(self._more)
        self._ended = len(data) < self._more
        self._text = self._text[place:] + data.decode("latin-1")
        self._offset += place
        # Twice as much next time: a long value must not be scanned over and over.
        self._more *= 2
