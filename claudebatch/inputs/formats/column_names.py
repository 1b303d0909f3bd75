"""Names of columns: each has one, and it is its own."""

from __future__ import annotations

from collections.abc import Sequence

from claudebatch.core.errors import ClaudebatchError

_SHOWN = 12


def listed(names: Sequence[str]) -> str:
    """The first of *names*."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def described(kind: str, columns: Sequence[str]) -> str:
    """A table as the user is told of it."""
    return f"{kind} (columns {listed(columns)})" if columns else kind


def check_columns(columns: Sequence[str], place: str) -> None:
    """Raise `ClaudebatchError` for a name that is missing or stands twice at
    *place*.
    """
    seen: set[str] = set()
    for number, column in enumerate(columns, 1):
        if not column:
            raise ClaudebatchError(
                "E307",
                f"{place}: column {number} of {len(columns)} has no name",
                fix="give every column a name",
            )
        if column in seen:
            raise ClaudebatchError(
                "E308",
                f"{place}: two columns are called {column}",
                fix="give every column a name of its own",
            )
        seen.add(column)
