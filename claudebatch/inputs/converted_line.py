"""A line of another tool, made one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.inputs.problems import removal, shown


@dataclass(frozen=True, slots=True)
class ConvertedLine:
    """The same request in a shape of ours."""

    own: dict[str, Any]
    columns: list[str] = field(default_factory=list)
    """The fields of the line that are no part of the request."""
    problems: list[Problem] = field(default_factory=list)
    """What cannot be carried over."""
    not_sent: tuple[str, ...] = ()
    """What was left out on purpose, in words."""


def as_list(fields: Mapping[str, Any], name: str) -> list[Any]:
    """The list *name* of *fields*; an empty one where there is none."""
    value = fields.get(name)
    return value if isinstance(value, list) else []


def as_object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object *name* of *fields*; an empty one where there is none."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def without_equal(place: str, name: str, value: Any) -> Problem:
    """The problem of a member *name* that the Messages API has nothing for."""
    where = f"{place}.{name}" if place else name
    return Problem(
        "E481",
        f'"{where}" ({shown(value)}) has no equal in the Messages API',
        removal(name, "remove it"),
    )


def no_part(place: str, part: Any) -> Problem:
    """The problem of a part of a message that cannot be carried over."""
    kind = part.get("type") if isinstance(part, dict) else None
    what = shown(part)
    if isinstance(part, dict) and part:
        what = f"of type {shown(kind)}" if kind else f"a part with {shown(next(iter(part)))}"
    return Problem(
        "E482",
        f'"{place}" is {what}, which cannot be carried over',
        "remove it, or write the line as a Messages API request",
    )
