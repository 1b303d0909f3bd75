"""Requests of OpenAI's Responses API, told in the words of its chat completions, which
are translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.inputs.converted_line import ConvertedLine, as_object, no_part, without_equal
from claudebatch.inputs.openai_body import NEUTRAL, TRANSLATED, WITHOUT_EQUAL
from claudebatch.inputs.parsed_line import LABELS

_URL = "/v1/responses"
# Beside "input", which a prompt of ours may be called, too.
_FLAT = frozenset({"instructions", "max_output_tokens", "previous_response_id"})
# The values at which members ask for nothing.
_NOTHING: Mapping[str, Any] = {"background": False, "include": [], "truncation": "disabled"}
_ROLES = frozenset({"user", "assistant", "system", "developer"})
_SAME = TRANSLATED.keys() | NEUTRAL.keys() | WITHOUT_EQUAL.keys()


def is_responses(fields: Mapping[str, Any]) -> bool:
    """Whether it certainly is one: by the address of a batch line, or its members."""
    if fields.get("url") == _URL:
        return bool(as_object(fields, "body"))
    return "input" in fields and not _FLAT.isdisjoint(fields)


def from_responses(fields: Mapping[str, Any]) -> ConvertedLine:
    """Input and instructions as messages; settings under their names in chats."""
    # In a batch line its labels stand beside it, alone among its members.
    batch = isinstance(fields.get("body"), dict)
    request = as_object(fields, "body") if batch else fields
    problems: list[Problem] = []
    body: dict[str, Any] = {"messages": []}
    # Before the input: a system message in the middle has another meaning.
    if request.get("instructions"):
        body["messages"].append({"role": "system", "content": request["instructions"]})
    _take_input(body["messages"], request.get("input"), problems)
    for name, value in request.items():
        if not batch and name in LABELS:
            continue
        if name not in ("input", "instructions") and value is not None:
            _take(body, name, value, problems)
    own: dict[str, Any] = {"body": body}
    own |= {name: fields[name] for name in LABELS if name in fields}
    known = {"body", "url", "method", *LABELS}
    columns = [name for name in fields if name not in known] if batch else []
    return ConvertedLine(own, columns, problems)


def _take(body: dict[str, Any], name: str, value: Any, problems: list[Problem]) -> None:
    """Set the member *name* under the name that it has in chats."""
    if name == "max_output_tokens":
        body["max_completion_tokens"] = value
    elif name == "reasoning" and isinstance(value, dict) and value.keys() <= {"effort"}:
        body["reasoning_effort"] = value.get("effort")
    elif name == "text" and isinstance(value, dict):
        _take_text(body, value, problems)
    elif name == "tools" and isinstance(value, list):
        body["tools"] = [_tool(tool) for tool in value]
    elif name == "tool_choice" and isinstance(value, dict) and "name" in value:
        body["tool_choice"] = {"type": "function", "function": {"name": value["name"]}}
    elif name in _NOTHING and value == _NOTHING[name]:
        return
    elif name in _SAME and name != "messages":
        body[name] = value
    else:
        problems.append(without_equal("", name, value))


def _take_text(body: dict[str, Any], text: Mapping[str, Any], problems: list[Problem]) -> None:
    for name, value in text.items():
        if name == "format" and isinstance(value, dict) and value.get("type") == "json_schema":
            schema = {key: item for key, item in value.items() if key != "type"}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif name == "format":
            body["response_format"] = value
        elif value is not None:
            problems.append(without_equal("text", name, value))


def _tool(tool: Any) -> Any:
    # Other kinds stay as they are: their translation refuses them by name.
    if not isinstance(tool, dict) or tool.get("type") != "function" or "function" in tool:
        return tool
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


def _take_input(messages: list[Any], given: Any, problems: list[Problem]) -> None:
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
        return
    for number, item in enumerate(given if isinstance(given, list) else []):
        place = f"input[{number}]"
        kind = item.get("type", "message") if isinstance(item, dict) else None
        role = item.get("role") if isinstance(item, dict) else None
        if kind == "message" and isinstance(role, str) and role in _ROLES:
            content = item.get("content")
            if isinstance(content, list):
                content = [
                    _part(f"{place}.content[{n}]", part, problems) for n, part in enumerate(content)
                ]
            messages.append({"role": role, "content": content})
        elif kind == "function_call":
            _add_call(messages, item)
        elif kind == "function_call_output":
            result = {"tool_call_id": item.get("call_id"), "content": item.get("output")}
            messages.append({"role": "tool", **result})
        else:
            # Reasoning, searches and references: their content lies at OpenAI.
            problems.append(no_part(place, item))


def _add_call(messages: list[Any], item: Mapping[str, Any]) -> None:
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    call = {"id": item.get("call_id"), "type": "function", "function": function}
    # Calls of one turn stand one after the other, and are one message in a chat.
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _part(place: str, part: Any, problems: list[Problem]) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("input_text", "output_text") and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    if kind == "input_file" and isinstance(part.get("file_data"), str):
        name = {"filename": part["filename"]} if part.get("filename") else {}
        return {"type": "file", "file": {"file_data": part["file_data"], **name}}
    problems.append(no_part(place, part))
    return part
