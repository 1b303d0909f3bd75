"""OpenAI tools, functions and tool choices in the words of the Messages API."""

from __future__ import annotations

from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.inputs.problems import MAX_PROBLEMS, shown, until_many, wrong

_TOOL_FIX = 'write {"type": "function", "function": {"name": …, "parameters": …}}'
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def translate_tools(name: str, value: Any, problems: list[Problem]) -> list[Any] | None:
    """`tools`: each a function in its envelope."""
    if not isinstance(value, list):
        problems.append(wrong(name, "a list of tools", value, _TOOL_FIX))
        return None
    before = len(problems)
    tools: list[Any] = []
    for number, tool in until_many(value, problems):
        where = f"{name}[{number}]"
        if isinstance(tool, dict) and tool.get("type") == "function":
            tools.append(_function(f"{where}.function", tool.get("function"), problems))
        else:
            kind = tool.get("type") if isinstance(tool, dict) else tool
            problems.append(
                wrong(f"{where}.type", "function, the kind that can be translated", kind, _TOOL_FIX)
            )
    return tools if len(problems) == before else None


def translate_functions(name: str, value: Any, problems: list[Problem]) -> list[Any] | None:
    """`functions`: the older spelling, without the envelope."""
    if not isinstance(value, list):
        problems.append(
            wrong(name, "a list of functions", value, 'write [{"name": …, "parameters": …}]')
        )
        return None
    return translate_tools(
        "functions", [{"type": "function", "function": function} for function in value], problems
    )


def translate_choice(name: str, value: Any, problems: list[Problem]) -> dict[str, Any] | None:
    """`tool_choice` and its older spelling `function_call`."""
    if isinstance(value, str) and value in _CHOICES:
        return {"type": _CHOICES[value]}
    # `function_call` has the name directly, `tool_choice` in an envelope.
    function = value.get("function", value) if isinstance(value, dict) else None
    chosen = function.get("name") if isinstance(function, dict) else None
    if isinstance(chosen, str) and chosen and value.get("type", "function") == "function":
        return {"type": "tool", "name": chosen}
    problems.append(
        wrong(
            name,
            "auto, none, required or one function by name",
            value,
            "choose one, or leave it out",
        )
    )
    return None


def _function(where: str, function: Any, problems: list[Problem]) -> dict[str, Any]:
    if (
        not isinstance(function, dict)
        or not isinstance(function.get("name"), str)
        or not function["name"]
    ):
        problems.append(wrong(where, "an object with a name", function, _TOOL_FIX))
        return {}
    schema = function.get("parameters")
    if schema is not None and not isinstance(schema, dict):
        problems.append(
            wrong(f"{where}.parameters", "an object", schema, "write the JSON schema there")
        )
    tool: dict[str, Any] = {
        "name": function["name"],
        "input_schema": _object_schema(schema or {}),
    }
    tool |= _described(where, function.get("description"), problems)
    for key in sorted(function.keys() - {"name", "parameters", "description", "strict"})[
        :MAX_PROBLEMS
    ]:
        problems.append(
            Problem(
                "E379",
                f'"{where}" has {shown(key)}, which has no equal in the Messages API',
                "remove it",
            )
        )
    # `"strict": false` is OpenAI's default and asks for nothing.
    return tool | ({"strict": True} if function.get("strict") is True else {})


def _object_schema(schema: Any) -> Any:
    """OpenAI takes a function without parameters, and parameters without a type; the
    Messages API wants the schema of an object.
    """
    if not schema:
        return {"type": "object", "properties": {}}
    return (
        schema if not isinstance(schema, dict) or "type" in schema else {"type": "object", **schema}
    )


def _described(where: str, description: Any, problems: list[Problem]) -> dict[str, Any]:
    if description is None:
        return {}
    if not isinstance(description, str):
        problems.append(
            wrong(f"{where}.description", "a string", description, "write it in quotes")
        )
    return {"description": description}
