"""Tools and the choice among them: names, domains, what a choice needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.core.typos import meant
from claudebatch.models.api_rules.closed_schemas import closed_schema
from claudebatch.models.api_rules.wording import shown

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def tools(params: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with each tool, and with all of them together."""
    taken: dict[str, str] = {}
    for number, tool in enumerate(params.get("tools") or ()):
        where, name = f"tools[{number}]", tool.get("name")
        if type(name) is str:
            first = taken.setdefault(name, where)
            if first != where:
                yield Problem(
                    "E423",
                    f'"{where}.name" is {shown(name)}, as that of "{first}"',
                    "give each tool its own name",
                )
        if tool.get("type") in (None, "custom"):
            yield from _custom(where, tool)
        if tool.get("allowed_domains") and tool.get("blocked_domains"):
            yield Problem(
                "E424",
                f'"{where}" has both "allowed_domains" and "blocked_domains"',
                "keep one of them",
            )


def _custom(where: str, tool: Mapping[str, Any]) -> Iterator[Problem]:
    name, schema = tool.get("name"), tool.get("input_schema")
    if type(name) is str and not _NAME.fullmatch(name):
        yield Problem(
            "E425",
            f'"{where}.name" is {shown(name)}',
            "use 1 to 128 letters without accents, digits, _ and -",
        )
    if type(schema) is not dict:
        return
    if schema.get("type") != "object":
        yield Problem(
            "E426",
            f'"{where}.input_schema" must have "type": "object", got {shown(schema.get("type"))}',
            'write {"type": "object", "properties": {…}}',
        )
    elif tool.get("strict") is True:
        yield from closed_schema(f"{where}.input_schema", schema)


def tool_choice(params: Mapping[str, Any]) -> Iterator[Problem]:
    """A choice without tools, or of a tool that is not there."""
    choice = params.get("tool_choice")
    if type(choice) is not dict:
        return
    offered = params.get("tools") or ()
    if not offered and not params.get("mcp_servers"):
        yield Problem("E427", '"tool_choice" is there without "tools"', "add tools, or remove it")
        return
    # The tools of a set have names that stand nowhere.
    names = [tool.get("name") for tool in offered]
    wanted = choice.get("name")
    if choice.get("type") == "tool" and wanted not in names and None not in names:
        known = [name for name in names if type(name) is str]
        near = meant(wanted, known) if type(wanted) is str else None
        yield Problem(
            "E428",
            f'"tool_choice.name" is {shown(wanted)}, which is not one of "tools"',
            f'did you mean "{near}"?' if near else "name a tool that is there",
        )
