"""A run's notes about itself, read so that a damaged or planted note is an error and
not a surprise.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from claudebatch.core.errors import StorageError


def _words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _count(value: object) -> bool:
    # `true` is an int in Python; and SQLite takes no more than 63 bits.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _table(value: object) -> bool:
    """Whether *value* is what `outputs/run_table.py` notes, or None."""
    if not isinstance(value, dict):
        return value is None
    columns, mark = value.get("columns"), value.get("mark")
    return (
        _text(value.get("form"))
        and _flag(value.get("escape"))
        and _words(value.get("digests"))
        and (columns is None or _words(columns))
        and (mark is None or (isinstance(mark, list) and all(map(_count, mark))))
    )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf


def _with(numbers: tuple[str, ...], texts: tuple[str, ...] = ()) -> Callable[[object], bool]:
    """A check for None, or an object with these members."""

    def check(value: object) -> bool:
        if not isinstance(value, dict):
            return value is None
        return all(_number(value.get(name)) for name in numbers) and all(
            _text(value.get(name)) for name in texts
        )

    return check


# A note of a wrong type would fail far from here, as an internal error.
_KINDS: dict[str, Callable[[object], bool]] = {
    "run_id": _text,
    "started": _text,
    "input": _text,
    "tag": _text,
    "template": _text,
    "simulator": lambda value: value is None or isinstance(value, str),
    "simulated": _flag,
    "stale": _flag,
    "ordered": _flag,
    "agreed": _flag,
    "beside": lambda value: value is None or isinstance(value, bool),
    "set_aside": _flag,
    "table": _table,
    "lanes": _words,
    "models": _words,
    "rows": _count,
    "bad_rows": _count,
    "expected": _count,
    "expected_by_batch": _count,
    "agreed_to": _count,
    "chosen": _count,
    "deadline": _with(("seconds", "at_ms")),
    "drawn_from": _count,
    "requests": _count,
    "drawn": _with(("rows", "weight", "seconds")),
    "sample": _with(
        ("rows", "weight", "ratio", "spread", "cost", "rest_rows", "rest_weight"), ("job", "of")
    ),
}


def read_note(journal: sqlite3.Connection, folder: Path, key: str) -> Any:
    """The note of *journal* under *key*; None without one. Raises `StorageError` for a
    value that no session could have written.
    """
    found = journal.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if found is None:
        return None
    try:
        value = json.loads(found[0])
        sound = _KINDS[key](value) if key in _KINDS else True
    except (ValueError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise StorageError(
            "E645", f'{folder}: the run\'s note "{key}" is damaged', fix="start over with --fresh"
        )
    return value
