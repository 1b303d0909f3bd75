"""Several answers to one line: each is a row of its own, with an id and a cache key of
its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from claudebatch.core.domain import Prompt
from claudebatch.core.errors import Problem

REPEAT = "repeat"
MOST_REPEATS = 1000
"""More is a slip: each of them is a request."""
_MARK = "#"
# Equal lines without an id are numbered behind it.
_SUFFIX = re.compile(rf"{_MARK}([0-9]{{1,9}})(?:-[0-9]+)?", re.ASCII)


def take_repeat(fields: dict[str, Any], problems: list[Problem]) -> tuple[dict[str, Any], int]:
    """*fields* of a line without its `"repeat"`, and how many answers that wants; 0:
    it does not say. A value that is no whole number is a field like any other.
    """
    wanted = fields.get(REPEAT)
    if type(wanted) is not int:
        return fields, 0
    if not 1 <= wanted <= MOST_REPEATS:
        fix = f"write a whole number from 1 to {MOST_REPEATS:,}, or leave it out"
        problems.append(Problem("E382", f'"{REPEAT}" is {wanted}', fix))
    return {name: value for name, value in fields.items() if name != REPEAT}, wanted


def repeated(prompt: Prompt) -> Iterator[Prompt]:
    """*prompt*, once for each answer that is wanted: the second of `x` is `x#2`."""
    yield prompt
    for number in range(2, prompt.answers + 1):
        yield _numbered(prompt, f"{prompt.id}{_MARK}{number}", number)


def under(prompt: Prompt, id: str) -> Prompt:
    """*prompt* as the row *id*, one of its own answers or of its equals."""
    if prompt.id == id:
        return prompt
    found = _SUFFIX.fullmatch(id.removeprefix(prompt.id)) if id.startswith(prompt.id) else None
    if found is None:
        return replace(prompt, id=id)
    return _numbered(prompt, id, int(found[1]))


def _numbered(prompt: Prompt, id: str, number: int) -> Prompt:
    # With a suffix, an id is no number any more.
    return replace(prompt, id=id, repeat=number - 1, has_number_id=False)
