"""Frozen plain data that is made for every row, and what making it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A dataclass with slots that the type checker holds frozen, and that is made three
    times as fast for it.

    For what is made for every row. A truly frozen dataclass sets each field through
    `object.__setattr__`, which took an eighth of the time of a row that comes out of
    the cache.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
