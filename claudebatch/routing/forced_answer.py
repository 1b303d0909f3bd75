"""A wanted form as a model takes it: as a schema for its text, or, where it knows none,
as a tool that it is forced to call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claudebatch.core.answer_form import ANSWER_TOOL, schema_of
from claudebatch.core.errors import Problem
from claudebatch.models.catalog import ModelFacts

_FIX = "use a model with structured answers, or --extract json"


def formed(params: Mapping[str, Any], facts: ModelFacts) -> Mapping[str, Any]:
    """*params* for the model of *facts*, with the schema, if there is one, in the form
    that it takes.
    """
    if facts.structured:
        return params
    schema = schema_of(params)
    if schema is None:
        return params
    config = {name: it for name, it in params["output_config"].items() if name != "format"}
    rest = {name: it for name, it in params.items() if name != "output_config"}
    if config:
        rest["output_config"] = config
    tool = {"name": ANSWER_TOOL, "description": "Gives the answer.", "input_schema": schema}
    return {**rest, "tools": [tool], "tool_choice": {"type": "tool", "name": ANSWER_TOOL}}


def unformable(params: Mapping[str, Any], facts: ModelFacts) -> Iterator[Problem]:
    """Why the model of *facts* cannot be held to the schema of *params*."""
    if facts.structured or (schema := schema_of(params)) is None:
        return
    if not facts.forced_tools:
        yield Problem(
            "E475", f"{facts.id} takes neither a schema nor a forced tool for its answer", _FIX
        )
    elif params.get("tools"):
        yield Problem(
            "E476",
            f"{facts.id} takes a schema as a forced tool only, and the line has tools of its own",
            "remove them, or use another model",
        )
    elif schema.get("type") != "object":
        yield Problem(
            "E477",
            f"{facts.id} takes a schema as a forced tool only, which needs an object at its top",
            'wrap it: {"type": "object", "properties": {"value": …}, …}',
        )
