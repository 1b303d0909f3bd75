"""Problems of an input line, each with the offending value and a fix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.core.typos import meant
from claudebatch.models.api_rules.wording import MAX_PROBLEMS, member, shown, wrong

__all__ = [
    "MAX_PROBLEMS",
    "empty",
    "member",
    "shown",
    "unknown",
    "until_many",
    "wrong",
]

PLAIN_NAME = re.compile(r"[A-Za-z_]\w{0,40}", re.ASCII)
"""A field's name that needs no quotes, neither in a shell nor in jq."""


def unknown(name: str, known: Iterable[str], otherwise: str) -> Problem:
    """The problem of an unknown field, with the *known* name that it was meant to be as
    its fix, or else *otherwise*.
    """
    near = meant(name, known)
    return Problem(
        "E334",
        f"unknown field {shown(name)}",
        f'did you mean "{near}"?' if near else removal(name, otherwise),
    )


def empty(name: str) -> Problem:
    """The problem of a prompt, called *name*, that says nothing."""
    return Problem(
        "E341",
        f"{name} is empty",
        "the API refuses empty prompts: write one, or remove the line",
    )


def removal(name: str, fix: str) -> str:
    """*fix* with the option that leaves the field *name* out of every row, if it is to
    remove the field.
    """
    # Only a plain word can be copied into a shell.
    option = f"remove it (--drop {name})" if PLAIN_NAME.fullmatch(name) else "remove it"
    return fix.replace("remove it", option, 1)


def until_many(items: Iterable[Any], problems: list[Problem]) -> Iterator[tuple[int, Any]]:
    """*items* with their numbers, until looking at them has added `MAX_PROBLEMS` to
    *problems*.
    """
    limit = len(problems) + MAX_PROBLEMS
    for number, item in enumerate(items):
        if len(problems) >= limit:
            return
        yield number, item
