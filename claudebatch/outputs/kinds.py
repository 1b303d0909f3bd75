"""The type of a table's column, from the values that are in it."""

from __future__ import annotations

import re
from math import isfinite
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["text", "integer", "real", "boolean", "dollars"]
"""The type of a column: `text` where its values have no other in common; `dollars` are
exact, with up to twelve decimals.
"""
_SeenKind: TypeAlias = Kind | Literal["long"]

_INTEGER = re.compile(rb"-?[0-9]+")
# A double holds every whole number up to this one.
_EXACT = 2**53
_LARGEST, _SMALLEST = 2**63 - 1, -(2**63)
# Converting thousands of digits takes seconds, and none of them fits.
_MOST_DIGITS = 20


class SeenKind:
    """What the values of one column have in common so far."""

    def __init__(self) -> None:
        # Mutable; None: only nulls so far.
        self._kind: _SeenKind | None = None

    def add(self, raw: bytes | None) -> None:
        """Take a value's JSON text into account; null says nothing."""
        if raw is None or self._kind == "text":
            return
        kind = _kind_of(raw)
        if kind is not None and kind != self._kind:
            self._kind = kind if self._kind is None else _common(self._kind, kind)

    @property
    def kind(self) -> Kind:
        """The narrowest type that holds every value unchanged."""
        if self._kind is None:
            return "text"
        return "integer" if self._kind == "long" else self._kind


def _kind_of(raw: bytes) -> _SeenKind | None:
    first = raw[:1]
    if first == b"n":
        return None
    if first in b"tf":
        return "boolean"
    if first not in b"-0123456789":
        return "text"
    if _INTEGER.fullmatch(raw) is None:
        return "real" if isfinite(float(raw)) else "text"
    number = int(raw) if len(raw) <= _MOST_DIGITS else _LARGEST + 1
    if -_EXACT <= number <= _EXACT:
        return "integer"
    return "long" if _SMALLEST <= number <= _LARGEST else "text"


def _common(one: _SeenKind, other: _SeenKind) -> _SeenKind:
    both = {one, other}
    if both == {"integer", "real"}:
        return "real"
    # A long number and a fraction have no type in common that keeps both.
    return "long" if both == {"integer", "long"} else "text"
