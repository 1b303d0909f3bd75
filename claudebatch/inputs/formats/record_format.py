"""The seam between a file and its records: where each begins and ends, and what value
it holds.

A record is some bytes of its file that lie together, so that a run can read any of them
again by place and length, whatever the format is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

from claudebatch.core.jsonl import InputLine


class RecordFormat(Protocol):
    """One way to write records into a file."""

    @property
    def name(self) -> str:
        """As the user is told it, such as "CSV (columns id, review)"."""
        ...

    def records(self, path: Path) -> Iterator[InputLine]:
        """Every record of the file at *path*, in order and in constant memory. Raises
        `ClaudebatchError`.
        """
        ...

    def value(self, data: bytes) -> Any:
        """The value of the record *data*, as JSON has values. Raises `BadRow`."""
        ...

    def recipe(self, of_lines: str) -> str | None:
        """The command for this format that does what *of_lines* does for JSON lines;
        None: there is none.
        """
        ...

    def members(self, value: dict[str, Any], data: bytes, names: Collection[str]) -> bytes:
        """The members *names* of the *value* of *data*, as one JSON object in their own
        order and spelling.
        """
        ...
