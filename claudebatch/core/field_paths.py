"""Values in a row by the name of their field, or by the way to them: `meta.lang`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


class Missing:
    """Stands for the value of a field that is not there: null is a value."""


MISSING: Final = Missing()


def value_at(fields: Mapping[str, Any], name: str) -> Any:
    """The value of the field *name*; `a.b` is the field b of the object a, unless a
    field is called so. `MISSING` where there is none.
    """
    if name in fields:
        return fields[name]
    first, dot, rest = name.partition(".")
    inner = fields.get(first)
    return value_at(inner, rest) if dot and isinstance(inner, dict) else MISSING
