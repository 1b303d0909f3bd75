"""The words of a problem: values shown short, names that were probably meant."""

from __future__ import annotations

from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import encode

MAX_SHOWN = 60
"""Characters of a user's value that a message repeats: a prompt of a megabyte would
hide the message.
"""

MAX_PROBLEMS = 20
"""Problems of one kind per line: otherwise a hostile line would make a million of them.
"""


def wrong(name: str, expected: str, value: Any, fix: str) -> Problem:
    """The problem of a field *name* with a *value* other than the *expected* one."""
    return Problem("E432", f'"{name}" must be {expected}, got {shown(value)}', fix)


def shown(value: Any) -> str:
    """*value* for a message: scalars as JSON, cut when long; containers as kind and
    size.
    """
    if isinstance(value, dict):
        return f"an object with {_count(len(value), 'field')}" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {_count(len(value), 'item')}" if value else "an empty list"
    if isinstance(value, str):
        # Cut before it is encoded: a string of 40 MB would be encoded for 60 characters
        # of it.
        cut = value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "…"
        return encode(cut).decode()
    text = encode(value).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def member(name: str, key: str) -> str:
    """The path of *name*'s member *key*, with any characters of the key escaped."""
    return f"{name}.{shown(key)[1:-1]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
