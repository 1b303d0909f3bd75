"""What one line says, on its way to becoming a prompt, and the labels that every shape
may carry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import raw_members
from claudebatch.inputs.problems import wrong

MAX_ID_LENGTH = 512
LABELS = frozenset({"id", "custom_id", "tags"})


@dataclass(slots=True)
class ParsedLine:
    """What one line says; good for a prompt only when there are no `problems`."""

    shape: str
    """How messages call this kind of line."""
    params: dict[str, Any] = field(default_factory=dict)
    """The line's own Messages parameters, `model` excepted."""
    id: str | None = None
    model: str | None = None
    tags: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def take_labels(found: ParsedLine, fields: dict[str, Any], data: bytes) -> None:
    """Set the id and the tags that the object *fields*, decoded from *data*, carries."""
    given = [name for name in ("id", "custom_id") if name in fields]
    if len(given) == 2 and fields["id"] != fields["custom_id"]:
        found.problems.append(Problem('"id" and "custom_id" are both there', "keep one of them"))
    elif given:
        _take_id(found, given[0], fields[given[0]], data)
    if "tags" in fields:
        _take_tags(found, fields["tags"])


def _take_id(found: ParsedLine, name: str, value: Any, data: bytes) -> None:
    """A number's own text is its id: `1.50` and `1.5` are two ids, and 20 digits stay
    20 digits.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = raw_members(data)[name].decode()
    if not isinstance(value, str) or not value:
        found.problems.append(
            wrong(name, "a string or a number", value, "write it in quotes, or leave it out")
        )
    elif len(value) > MAX_ID_LENGTH:
        fix = f"the longest id has {MAX_ID_LENGTH}: shorten it"
        found.problems.append(Problem(f'"{name}" has {len(value)} characters', fix))
    else:
        found.id = value


def _take_tags(found: ParsedLine, value: Any) -> None:
    tags = [value] if isinstance(value, str) else value
    if isinstance(tags, list) and all(isinstance(tag, str) and tag for tag in tags):
        found.tags = tuple(tags)
    else:
        fix = 'write "tags": ["urgent"], or leave it out'
        found.problems.append(
            wrong("tags", "a string or a list of strings, none of them empty", value, fix)
        )
