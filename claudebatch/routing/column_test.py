"""What a rule says of one column, as a test of its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf, isfinite
from typing import Any, TypeAlias

from claudebatch.core.errors import ConfigError
from claudebatch.core.field_paths import MISSING
from claudebatch.core.jsonl import encode_in_order
from claudebatch.core.values_shown import got

ColumnTest: TypeAlias = Callable[[object], bool]

_FIX = "write a value, [value, value] or {min: 1, max: 5}"


def column_test(raw: Any, where: str) -> ColumnTest:
    """The test in *raw*: a value, a list of values, or a range of numbers; *where* is
    its place in error messages.
    """
    if isinstance(raw, Mapping):
        return _range(raw, where)
    values = raw if isinstance(raw, list) else [raw]
    # Null and nothing at all are the empty text, as an empty cell of a table is.
    if not values or not all(isinstance(value, str | int | float | None) for value in values):
        raise ConfigError(
            "E157", f"{where} must be a value or a list of values, got {got(raw)}", fix=_FIX
        )
    texts = frozenset(map(_text, values))
    # Beside the texts: 5.0 is spelt otherwise than 5.
    numbers = frozenset(value for value in values if _is_number(value))
    return lambda value: (value in numbers if _is_number(value) else False) or _text(value) in texts


def _range(raw: Mapping[Any, Any], where: str) -> ColumnTest:
    known = raw.keys() <= {"min", "max"} and raw
    if not known or not all(_is_number(bound) and isfinite(bound) for bound in raw.values()):
        raise ConfigError("E158", f"{where} must be a range, got {got(dict(raw))}", fix=_FIX)
    least, most = raw.get("min", -inf), raw.get("max", inf)
    if least > most:
        raise ConfigError(
            "E159", f"{where} matches nothing: min {least} is above max {most}", fix="swap the two"
        )

    def test(value: object) -> bool:
        number = _number(value)
        return number is not None and least <= number <= most

    return test


def _number(value: object) -> int | float | None:
    """The number that *value* is or, as the cell of a table, spells."""
    if _is_number(value):
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        with suppress(ValueError):
            number = float(value)
            return number if isfinite(number) else None
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> str:
    if value is None or value is MISSING:
        return ""
    # As JSON spells it, and as a cell of a table would have it.
    return value if isinstance(value, str) else encode_in_order(value).decode()
