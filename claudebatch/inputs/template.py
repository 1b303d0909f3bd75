"""Prompts from columns: `Classify: {review}` and a row that has a `review`.

`{name}` is the value of a column: a text as it stands, everything else as JSON, null
and an empty cell as nothing. `{name:json}` is always JSON. `{{` and `}}` are braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from claudebatch.core.errors import BadRow, ConfigError, Problem
from claudebatch.core.jsonl import encode_in_order

_PIECES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_AS_JSON = ":json"
_NAMES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class _Field:
    """One place that a column fills."""

    name: str
    as_json: bool

    def text(self, value: object) -> str:
        if self.as_json or not isinstance(value, str | None):
            return encode_in_order(value).decode()
        return value or ""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places for the values of a row."""

    source: str
    pieces: tuple[str | _Field, ...]
    constants: Mapping[str, str]
    """Values for every row, by name; they win over columns."""

    @classmethod
    def parsed(cls, source: str, constants: Mapping[str, str] | None = None) -> Template:
        """The template that *source* spells. Raises `ConfigError`."""
        if not source.strip():
            raise ConfigError("E180", "the template is empty", fix='write -t "Classify: {review}"')
        return cls(source, tuple(_pieces(source)), constants or {})

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it names."""
        named = {piece.name for piece in self.pieces if isinstance(piece, _Field)}
        return frozenset(named - self.constants.keys())

    @property
    def is_constant(self) -> bool:
        """Whether it is the same text for every row."""
        return not self.columns

    def filled(self, row: Mapping[str, Any]) -> str:
        """The text for *row*. Raises `BadRow` where it lacks a column."""
        values = {**row, **self.constants} if self.constants else row
        missing = [
            piece.name
            for piece in self.pieces
            if isinstance(piece, _Field) and piece.name not in values
        ]
        if missing:
            raise BadRow(_missing(missing[0], values))
        return "".join(
            piece if isinstance(piece, str) else piece.text(values[piece.name])
            for piece in self.pieces
        )


def _pieces(source: str) -> Iterator[str | _Field]:
    end = 0
    for found in _PIECES.finditer(source):
        if found.start() > end:
            yield source[end : found.start()]
        end = found.end()
        if found[0] in ("{{", "}}"):
            yield found[0][0]
        elif found[1] is None or not found[1].removesuffix(_AS_JSON).strip():
            raise ConfigError(
                "E181",
                f'the template has a "{found[0]}" at character {found.start() + 1} that names no '
                f"column",
                fix="write {column} for a column, {{ or }} for a brace",
            )
        else:
            yield _Field(found[1].removesuffix(_AS_JSON).strip(), found[1].endswith(_AS_JSON))
    if end < len(source):
        yield source[end:]


def _missing(name: str, there: Iterable[str]) -> Problem:
    return Problem(
        "E397",
        f'no column "{name}" for the template',
        f"the row has {columns_shown(there)}; write {{{{ for a brace",
    )


def columns_shown(there: Iterable[str]) -> str:
    """The names of a row's columns, as a message tells them."""
    names = list(there)
    more = ", …" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more or "none"
