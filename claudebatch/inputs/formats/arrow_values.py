"""Values of Arrow's types as JSON has values: moments in ISO 8601, decimals as exact
text, lists and structures as they are.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

_Finish: TypeAlias = Callable[[Any], Any]
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # a moment without a zone stays one
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Reading:
    """How the values of one type are read: as those of the type `stored`, each of which
    `finish` completes (None: is JSON already).
    """

    stored: Any
    finish: _Finish | None = None

    def values(self, array: Any) -> list[Any]:
        """The values of *array*, an Arrow array. Raises `UnicodeDecodeError`,
        `OverflowError` and `ValueError`.
        """
        # A user-defined type is its storage with a name.
        array = getattr(array, "storage", array)
        if array.type != self.stored:
            array = array.cast(self.stored)
        values: list[Any] = array.to_pylist()
        finish = self.finish
        if finish is None:
            return values
        return [None if value is None else finish(value) for value in values]


def reading(type_: Any) -> Reading | None:
    """How values of the Arrow *type_* are read; None for bytes and other types that
    JSON has no values for.
    """
    import pyarrow  # noqa: PLC0415  # an extra

    found = _Types(pyarrow).reading(getattr(type_, "storage_type", type_), type_)
    if found is None:
        return None
    try:
        # Not every nested type can be converted.
        found.values(pyarrow.nulls(1, type_))
    except pyarrow.ArrowException:
        return None
    return found


class _Types:
    """The table of types."""

    def __init__(self, pyarrow: Any) -> None:
        self._arrow = pyarrow
        self._is = pyarrow.types

    def reading(self, type_: Any, called: Any) -> Reading | None:
        """That of *type_*, whose own name is *called*."""
        for known in (self._plain, self._moment, self._number, self._nested):
            found = known(type_)
            if found is not None:
                return found
        if getattr(called, "extension_name", "") == "arrow.uuid":
            return Reading(type_, lambda value: str(uuid.UUID(bytes=value)))
        return None

    def _plain(self, type_: Any) -> Reading | None:
        texts = ("is_string", "is_large_string", "is_string_view")
        others = ("is_null", "is_boolean", "is_integer", "is_float64")
        if any(getattr(self._is, name)(type_) for name in (*texts, *others)):
            return Reading(type_)
        if self._is.is_dictionary(type_):
            return self.reading(type_.value_type, None)
        return None

    def _number(self, type_: Any) -> Reading | None:
        if self._is.is_floating(type_):
            # As text first: 0.1 of four bytes is 0.10000000149011612 of eight.
            return Reading(self._arrow.string(), float)
        if self._is.is_decimal(type_):
            return Reading(type_, lambda value: format(value, "f"))
        return None

    def _moment(self, type_: Any) -> Reading | None:
        # As whole numbers: objects of Python have no nanoseconds.
        wide, narrow = self._arrow.int64(), self._arrow.int32()
        if self._is.is_date32(type_):
            return Reading(narrow, _day)
        if self._is.is_date64(type_):
            return Reading(wide, lambda value: _day(value // (1000 * _DAY_S)))
        if self._is.is_timestamp(type_):
            return Reading(wide, _moments(type_.unit, "" if type_.tz is None else "Z"))
        if self._is.is_time(type_):
            stored = narrow if self._is.is_time32(type_) else wide
            clock = _moments(type_.unit, "")
            return Reading(stored, lambda value: clock(value).partition("T")[2])
        if self._is.is_duration(type_):
            return Reading(wide, _durations(type_.unit))
        return None

    def _nested(self, type_: Any) -> Reading | None:
        if self._is.is_map(type_):
            return self._map(type_)
        if self._is.is_struct(type_):
            return self._struct(type_)
        names = ("is_list", "is_large_list", "is_fixed_size_list", "is_list_view")
        if not any(getattr(self._is, name)(type_) for name in names):
            return None
        inner = self.reading(type_.value_type, type_.value_type)
        if inner is None:
            return None
        stored = type_ if inner.stored == type_.value_type else self._arrow.list_(inner.stored)
        finish = inner.finish
        if finish is None:
            return Reading(stored)
        return Reading(stored, lambda values: [_done(finish, value) for value in values])

    def _struct(self, type_: Any) -> Reading | None:
        fields = [type_.field(number) for number in range(type_.num_fields)]
        members = {field.name: self.reading(field.type, field.type) for field in fields}
        if None in members.values() or len(members) < len(fields):
            return None
        known = {name: member for name, member in members.items() if member is not None}
        stored = self._arrow.struct([(name, member.stored) for name, member in known.items()])
        finishes = {name: member.finish for name, member in known.items() if member.finish}
        if not finishes:
            return Reading(stored)

        def finish(value: dict[str, Any]) -> dict[str, Any]:
            done = {name: _done(finish, value[name]) for name, finish in finishes.items()}
            return {**value, **done}

        return Reading(stored, finish)

    def _map(self, type_: Any) -> Reading | None:
        key = self.reading(type_.key_type, type_.key_type)
        item = self.reading(type_.item_type, type_.item_type)
        if key is None or item is None or key.finish or not self._is.is_string(key.stored):
            return None
        finish = item.finish
        return Reading(
            self._arrow.map_(key.stored, item.stored),
            lambda pairs: {
                name: value if finish is None else _done(finish, value) for name, value in pairs
            },
        )


def _done(finish: _Finish, value: Any) -> Any:
    return None if value is None else finish(value)


def _day(number: int) -> str:
    return date.fromordinal(_EPOCH_DAY + number).isoformat()


def _moments(unit: str, zone: str) -> _Finish:
    """ISO 8601 of so many *unit*s since 1970, with the digits that there are."""
    per_second = _PER_SECOND[unit]
    digits = len(str(per_second)) - 1

    def finish(value: int) -> str:
        seconds, rest = divmod(value, per_second)
        moment = (_EPOCH + timedelta(seconds=seconds)).isoformat()
        return f"{moment}{_fraction(rest, digits)}{zone}"

    return finish


def _durations(unit: str) -> _Finish:
    per_second = _PER_SECOND[unit]
    digits = len(str(per_second)) - 1

    def finish(value: int) -> str:
        seconds, rest = divmod(abs(value), per_second)
        return f"{'-' if value < 0 else ''}PT{seconds}{_fraction(rest, digits)}S"

    return finish


def _fraction(rest: int, digits: int) -> str:
    return f".{rest:0{digits}d}".rstrip("0") if rest else ""
