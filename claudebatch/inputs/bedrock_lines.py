"""Lines of Bedrock's batches, with Claude's own parameters or those of Converse, and
Converse requests alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.inputs.converted_line import (
    ConvertedLine,
    as_list,
    as_object,
    no_part,
    without_equal,
)

_LABELS = ("recordId", "id", "custom_id")
_MODEL = re.compile(r"(?:[a-z-]+\.)?anthropic\.(claude-[a-z0-9.-]+?)(?:-v\d+(?::\d+)?)?")
_SETTINGS = {"maxTokens": "max_tokens", "stopSequences": "stop_sequences"}


def is_bedrock(fields: Mapping[str, Any]) -> bool:
    """Whether it is a line of a batch."""
    return bool(as_object(fields, "modelInput"))


def is_converse(fields: Mapping[str, Any]) -> bool:
    """Whether it is a Converse request."""
    return "messages" in fields and not {"inferenceConfig", "modelId"}.isdisjoint(fields)


def from_bedrock(fields: Mapping[str, Any]) -> ConvertedLine:
    """Claude's parameters as they are, those of Converse under our names."""
    label = next((name for name in _LABELS if name in fields), None)
    own = {} if label is None else {"custom_id": fields[label]}
    if not is_bedrock(fields):
        request = {name: value for name, value in fields.items() if name != label}
        params, problems = _converse(request, "")
        return ConvertedLine({**own, "params": params}, [], problems)
    columns = [name for name in fields if name not in ("modelInput", label)]
    given = as_object(fields, "modelInput")
    # Converse has no version of Claude's own parameters, and must not have one.
    if "anthropic_version" in given:
        params = {name: value for name, value in given.items() if not name.startswith("anthropic_")}
        # A header in one place, and a member of the line in the other.
        if given.get("anthropic_beta"):
            params["betas"] = given["anthropic_beta"]
        return ConvertedLine({**own, "params": params}, columns)
    params, problems = _converse(given, "modelInput")
    return ConvertedLine({**own, "params": params}, columns, problems)


def _converse(request: Mapping[str, Any], place: str) -> tuple[dict[str, Any], list[Problem]]:
    problems: list[Problem] = []
    inside = f"{place}." if place else ""
    params: dict[str, Any] = {
        "messages": [
            {
                "role": message.get("role"),
                "content": _blocks(f"{inside}messages[{n}]", message, problems),
            }
            for n, message in enumerate(as_list(request, "messages"))
            if isinstance(message, dict)
        ]
    }
    for name, value in request.items():
        if name == "messages" or value in (None, [], {}):
            continue
        if name == "system":
            params["system"] = _blocks(inside + name, {"content": value}, problems)
        elif name == "modelId":
            params["model"] = _model(value)
        elif name == "inferenceConfig" and isinstance(value, dict):
            _take_settings(params, value, inside + name, problems)
        else:
            problems.append(without_equal(place, name, value))
    return params, problems


def _model(value: Any) -> Any:
    """The API's own name of a model that Bedrock calls
    `us.anthropic.claude-haiku-4-5-20251001-v1:0`.
    """
    found = _MODEL.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else found[1]


def _take_settings(
    params: dict[str, Any], settings: Mapping[str, Any], place: str, problems: list[Problem]
) -> None:
    for name, value in settings.items():
        if name in _SETTINGS:
            params[_SETTINGS[name]] = value
        elif value is not None:
            problems.append(without_equal(place, name, value))


def _blocks(
    place: str, message: Mapping[str, Any], problems: list[Problem]
) -> list[dict[str, Any]]:
    return [
        _block(f"{place}.content[{n}]", part, problems)
        for n, part in enumerate(as_list(message, "content"))
    ]


def _block(place: str, part: Any, problems: list[Problem]) -> dict[str, Any]:
    if isinstance(part, dict) and len(part) == 1:
        if isinstance(part.get("text"), str):
            return {"type": "text", "text": part["text"]}
        image = as_object(part, "image")
        data = as_object(image, "source").get("bytes")
        if isinstance(data, str) and isinstance(image.get("format"), str):
            media_type = f"image/{image['format']}"
            source = {"type": "base64", "media_type": media_type, "data": data}
            return {"type": "image", "source": source}
    problems.append(no_part(place, part))
    return {}
