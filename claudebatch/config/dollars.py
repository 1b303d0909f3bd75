"""Amounts of dollars as people write them in a file: `5`, `2.50`, `"5"`, `$5`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from types import UnionType
from typing import Any, get_args, get_origin

import msgspec

from claudebatch.config.field_types import field_types
from claudebatch.core.errors import ConfigError


def read_dollars(value: Any, hint: Any, key: str, where: Callable[[str], str]) -> Any:
    """*value* of the setting *key*, whose type is *hint*, with every text in the place
    of an amount read as one.

    Raises `ConfigError` for what is none; whatever else is wrong is left to the schema.
    """
    if hint is None:
        return value
    # Before msgspec reads it: `5` and `"5"` are one amount, and a float never is.
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if isinstance(value, dict):
        return {
            name: read_dollars(inner, _hint(kinds, name), _join(key, name), where)
            for name, inner in value.items()
        }
    return (
        _amount(value, key, where)
        if Decimal in kinds and isinstance(value, str | bool | list)
        else value
    )


def _hint(kinds: tuple[Any, ...], name: Any) -> Any:
    """The type of the item *name* of a mapping that is one of *kinds*; None where the
    schema knows of none.
    """
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return field_types(kind).get(name)
        if get_origin(kind) is dict:
            return get_args(kind)[1]
    return None


def _join(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def _amount(value: str | bool | list[Any], key: str, where: Callable[[str], str]) -> Decimal:
    # YAML makes a bool of `yes` and a list of `[1]`: neither is an amount.
    try:
        if isinstance(value, str):
            return Decimal(value.strip().removeprefix("$"))
    except InvalidOperation:
        pass
    raise ConfigError(
        "E109",
        f"{where(key)}: {key}: {str(value)[:40]!r} is not an amount of dollars",
        fix="write a number such as 5 or 2.50",
    )
