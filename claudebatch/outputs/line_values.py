"""One result line, taken apart: each value as the JSON text that it has there, so that
a number keeps every digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TypeAlias

from claudebatch.core.jsonl import compact, decode, encode_in_order, raw_members

FieldPath: TypeAlias = tuple[str, ...]
"""The names that lead to a value: `("usage", "input_tokens")`."""

ResultLines: TypeAlias = Callable[[bool], Iterator[bytes]]
"""Whole result lines, from the first one on at each call; with the argument False
without the API's message, which is most of their bytes.
"""

ERROR: FieldPath = ("error",)


class LineValues:
    """The values of one result line."""

    def __init__(self, line: bytes) -> None:
        self._members = raw_members(line)
        # Mutable: objects in it that were looked into.
        self._objects: dict[FieldPath, dict[str, bytes]] = {}

    def raw(self, path: FieldPath) -> bytes | None:
        """The JSON text of the value at *path*; None without one, or for null."""
        members = self._members if len(path) == 1 else self.members(path[:-1])
        found = members.get(path[-1])
        if found is None or found == b"null":
            return None
        return _error_words(found) if path == ERROR else found

    def members(self, path: FieldPath) -> dict[str, bytes]:
        """The members of the object at *path*; none where there is no object."""
        found = self._objects.get(path)
        if found is None:
            above = self._members if len(path) == 1 else self.members(path[:-1])
            raw = above.get(path[-1], b"")
            found = raw_members(raw) if raw.startswith(b"{") else {}
            self._objects[path] = found
        return found


def text_of(raw: bytes | None) -> str | None:
    """A value as the text of a cell: a string's characters, a number's own digits, an
    object or a list as compact JSON; None for null.
    """
    if raw is None or raw == b"null":
        return None
    if raw.startswith(b'"'):
        # Most texts have no escape in them, and this is much faster.
        return str(decode(raw)) if b"\\" in raw else raw[1:-1].decode()
    return compact(raw).decode() if raw[:1] in b"{[" else raw.decode()


def put_rows(file: BinaryIO, rows: Iterable[bytes]) -> int:
    """Write the bytes of each row; returns the number of rows."""
    count = 0
    for row in rows:
        file.write(row)
        count += 1
    return count


def _error_words(raw: bytes) -> bytes:
    """The error of a failed row in one sentence; its parts have paths of their own."""
    parts = raw_members(raw)
    kind, words = text_of(parts.get("type")), text_of(parts.get("message"))
    return encode_in_order(f"{kind}: {words}" if words else kind)
