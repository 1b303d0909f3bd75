"""The parsed content of one line, and the labels (id and tags) that every shape may
carry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import raw_members
from claudebatch.inputs.kept_columns import Extra
from claudebatch.inputs.problems import wrong
from claudebatch.models.api_rules import AS_SENT, Names

# An id is repeated in every result line, in the index and on the screen: a megabyte of
# it would fill all three.
MAX_ID_LENGTH = 512
LABELS = frozenset({"id", "custom_id", "tags"})


@dataclass(slots=True)
class ParsedLine:
    """The content of one line; usable only when there are no `problems`."""

    shape: str
    """The name of this kind of line in messages to the user."""
    params: dict[str, Any] = field(default_factory=dict)
    """The line's own Messages parameters, `model` excepted."""
    id: str | None = None
    has_number_id: bool = False
    """Whether the id is a number in the line."""
    model: str | None = None
    tags: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    """Parameters with a problem that is told already."""
    checked: bool = True
    """Whether it is held against the API's own rules."""
    betas: tuple[str, ...] = ()
    """Beta headers of this request."""
    extra: Extra = "keep"
    """What becomes of fields that are no part of the request."""
    columns: list[str] = field(default_factory=list)
    """The names of such fields that are kept."""
    own_schema: bool = False
    """Whether the line has a `"schema"`, which is `output_config.format` by now."""
    answers: int = 0
    """How many answers the line wants; 0: it does not say."""
    names: Names = AS_SENT
    """How the line itself calls its conversation."""


def take_labels(parsed: ParsedLine, fields: dict[str, Any], data: bytes) -> None:
    """Set the id and the tags of the object *fields*, decoded from *data*."""
    names = [name for name in ("id", "custom_id") if name in fields]
    # Exporters write both; with equal values there is nothing to decide.
    if len(names) == 2 and fields["id"] != fields["custom_id"]:
        parsed.problems.append(
            Problem("E332", '"id" and "custom_id" are both given', "keep one of them")
        )
    elif names:
        _take_id(parsed, names[0], fields[names[0]], data)
    if "tags" in fields:
        _take_tags(parsed, fields["tags"])


def _take_id(parsed: ParsedLine, name: str, value: Any, data: bytes) -> None:
    """Set the id; that of a number is its text in the line."""
    # Decoded, `1.50` and `1.5` would be one id, and 20 digits would lose their last.
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = raw_members(data)[name].decode()
        parsed.has_number_id = True
    if value == "":
        parsed.problems.append(
            Problem("E380", f'"{name}" is empty', "write something in it, or leave it out")
        )
    elif not isinstance(value, str):
        parsed.problems.append(
            wrong(name, "a string or a number", value, "write it in quotes, or leave it out")
        )
    elif len(value) > MAX_ID_LENGTH:
        fix = f"the longest id has {MAX_ID_LENGTH}: shorten it"
        parsed.problems.append(Problem("E333", f'"{name}" has {len(value)} characters', fix))
    else:
        parsed.id = value


def _take_tags(parsed: ParsedLine, value: Any) -> None:
    tags = [value] if isinstance(value, str) else value
    if isinstance(tags, list) and all(isinstance(tag, str) and tag for tag in tags):
        parsed.tags = tuple(tags)
    else:
        fix = 'write "tags": ["urgent"], or leave it out'
        parsed.problems.append(
            wrong("tags", "a string or a list of strings, none of them empty", value, fix)
        )
