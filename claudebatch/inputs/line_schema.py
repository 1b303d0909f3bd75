"""A line with a `"schema"` for its answer: short for `output_config.format`."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

from claudebatch.core.answer_form import with_schema
from claudebatch.core.errors import Problem

SCHEMA = "schema"
# Data sets have columns of that name, too: one without any of these is none of ours.
_MARKS = frozenset({"type", "properties", "anyOf", "allOf", "oneOf", "enum", "const", "$ref"})
_SENT_AS = "output_config.format.schema"


def takes_schema(fields: Mapping[str, Any], content: Set[str]) -> bool:
    """Whether the line of *fields*, whose prompt is in *content*, has a schema for its
    answer.
    """
    schema = fields.get(SCHEMA)
    # Batch lines have it inside, as the API takes it.
    return (
        type(schema) is dict
        and not _MARKS.isdisjoint(schema)
        and content.isdisjoint({"params", "body"})
    )


def as_format(fields: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """*fields* with the schema where the API takes it; *problems* hears what keeps it
    from there.
    """
    rest = {name: value for name, value in fields.items() if name != SCHEMA}
    config = rest.get("output_config")
    if type(config) is dict and config.get("format") is not None:
        reason = f'"{SCHEMA}" and "output_config.format" are both given'
        problems.append(Problem("E381", reason, "keep one of them"))
        return rest
    if config is not None and type(config) is not dict:
        return rest  # the check of that field says what is wrong
    return with_schema(rest, fields[SCHEMA])


def in_own_words(problems: list[Problem]) -> list[Problem]:
    """*problems* of a schema, which name it as the line does."""
    return [replace(one, reason=one.reason.replace(_SENT_AS, SCHEMA)) for one in problems]
