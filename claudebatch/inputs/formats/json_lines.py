"""One JSON value on each line, or one plain prompt."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from claudebatch.core.errors import BadRow
from claudebatch.core.jsonl import InputLine, InvalidJson, chosen_members, decode, read_lines
from claudebatch.inputs.line_kinds import not_json


class JsonLines:
    """JSON lines; a blank line is no record."""

    name = "JSON lines"

    def records(self, path: Path) -> Iterator[InputLine]:
        """Every line that is not blank."""
        return read_lines(path)

    def value(self, data: bytes) -> Any:
        """The decoded line."""
        try:
            return decode(data)
        except InvalidJson as error:
            raise BadRow(not_json(data, str(error))) from error

    def recipe(self, of_lines: str) -> str | None:
        """The command itself."""
        return of_lines

    def members(self, value: dict[str, Any], data: bytes, names: Collection[str]) -> bytes:
        """The members as the line spells them."""
        return chosen_members(data, names)


class TextLines:
    """Each line is a prompt as it stands."""

    name = "plain text"

    def records(self, path: Path) -> Iterator[InputLine]:
        """Every line that is not blank."""
        return read_lines(path)

    def value(self, data: bytes) -> str:
        """The line."""
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            complaint = f"not valid UTF-8 at byte {error.start + 1}"
            raise BadRow(not_json(data, complaint)) from error

    def recipe(self, of_lines: str) -> str | None:
        """The command itself."""
        return of_lines

    def members(self, value: dict[str, Any], data: bytes, names: Collection[str]) -> bytes:
        """A text has none."""
        return b""
