"""The rows that a run takes: by number, by id, by what their columns say, or some of
them by chance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.field_paths import MISSING, value_at
from claudebatch.core.jsonl import encode_in_order

Operator: TypeAlias = Literal["=", "!=", "~"]

# The first one in the text: a value may hold others.
_CONDITION = re.compile(r"(?P<name>.+?)(?P<operator>!=|=|~)(?P<value>.*)", re.DOTALL)
_SPAN = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", re.ASCII)
_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Condition:
    """One `--where`: a column, how it is compared, and with what."""

    name: str
    operator: Operator
    value: str

    @classmethod
    def parsed(cls, text: str) -> Condition:
        """The condition that *text* spells. Raises `ClaudebatchError`."""
        found = _CONDITION.fullmatch(text)
        if found is None or not found["name"].strip():
            raise ClaudebatchError(
                "E064",
                f"--where: {text!r} is no condition",
                fix="write --where lang=de, 'lang!=de' or 'review~tea' (contains)",
            )
        operator: Operator = found["operator"]  # type: ignore[assignment]
        return cls(found["name"].strip(), operator, found["value"].strip())

    def fits(self, fields: Mapping[str, Any]) -> bool:
        """Whether a row with *fields* fits. A number is compared as one, everything
        else as text; a field that is missing, null or empty is the empty text.
        """
        found = value_at(fields, self.name)
        if self.operator == "~":
            return self.value in _text(found)
        return self._equals(found) is (self.operator == "=")

    def _equals(self, found: object) -> bool:
        if isinstance(found, int | float) and not isinstance(found, bool):
            return found == _number(self.value)
        return _text(found) == self.value


@dataclass(frozen=True, slots=True)
class Selection:
    """The choice of rows that a command makes; nothing given: all of them."""

    rows: tuple[tuple[int, int], ...] = ()
    """First and last number of rows, counted from 1 through all inputs."""
    ids: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    sample: int | None = None
    """So many by chance, of those that the others leave."""
    seed: int = 0

    def __bool__(self) -> bool:
        """Whether any row may be left out."""
        return bool(self.rows or self.ids or self.where or self.sample)

    @property
    def last(self) -> int | None:
        """The number of the last row that can be chosen; None: any."""
        return max((last for _, last in self.rows), default=None)

    @property
    def needs_all(self) -> bool:
        """Whether it is only known at the end which rows are chosen."""
        return bool(self.ids or self.sample)

    @property
    def drawn_from(self) -> str:
        """The same for the same choice before chance: what a sample stands for."""
        return replace(self, sample=None, seed=0).text

    @property
    def text(self) -> str:
        """The same for the same choice."""
        return repr((self.rows, self.ids, self.where, self.sample, self.seed)) if self else ""


ALL_ROWS = Selection()


class RowPicker:
    """Picks the rows of a selection while an input is read, by number and columns."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        # Mutable: rows so far, names of columns so far, and conditions that no row had
        # the column of yet.
        self._seen = 0
        self._columns: dict[str, None] = {}
        self._unknown = {condition.name for condition in selection.where}

    def at_end(self) -> bool:
        """Whether no later row can be chosen."""
        last = self._selection.last
        return last is not None and self._seen >= last

    def numbered(self) -> bool:
        """Whether the next row is one of those asked for by number."""
        self._seen += 1
        spans = self._selection.rows
        return not spans or any(first <= self._seen <= last for first, last in spans)

    @property
    def looks(self) -> bool:
        """Whether the values of rows decide."""
        return bool(self._selection.where)

    def fits(self, value: object) -> bool:
        """Whether a row of this *value* fits every condition."""
        fields = value if isinstance(value, dict) else {"text": value}
        # Until each has been met once: a million rows need no more than that.
        if self._unknown:
            self._columns.update(dict.fromkeys(fields))
            self._unknown = {name for name in self._unknown if value_at(fields, name) is MISSING}
        return all(condition.fits(fields) for condition in self._selection.where)

    def check(self) -> None:
        """Raise `ClaudebatchError` where the command names rows or columns that the
        input has not.
        """
        last = self._selection.last
        if last is not None and self._seen < last:
            raise ClaudebatchError(
                "E470",
                f"--rows: there is no row {last}; the input has {self._seen}",
                fix="rows are counted from 1, through all inputs, without the line of names",
            )
        # An input without rows has no columns either, and is not at fault.
        if self._unknown and self._columns:
            names = ", ".join(list(self._columns)[:_NAMES_SHOWN])
            raise ClaudebatchError(
                "E471",
                f'--where: no row has a column "{min(self._unknown)}"',
                fix=f"the columns are {names}; a dot leads into an object: meta.lang",
            )


def parse_rows(text: str) -> tuple[tuple[int, int], ...]:
    """The spans of `10-20,40`. Raises `ClaudebatchError`."""
    return tuple(_span(part.strip()) for part in text.split(","))


def _span(part: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(part)
    first = int(found[1]) if found else 0
    last = int(found[2]) if found and found[2] else first
    if not 0 < first <= last:
        raise ClaudebatchError(
            "E065", f"--rows: {part!r} is no row or span of rows", fix="write --rows 10-20,40"
        )
    return first, last


def _number(text: str) -> int | float | None:
    # Whole numbers as such: a float would make two long ids of numbers equal.
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return None


def _text(value: object) -> str:
    if value is MISSING or value is None:
        return ""
    if isinstance(value, str):
        return value
    # As JSON spells it: true, 1.5, ["a"].
    return encode_in_order(value).decode()
