"""Requests to Gemini, of a batch file or alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.inputs.converted_line import (
    ConvertedLine,
    as_list,
    as_object,
    no_part,
    without_equal,
)
from claudebatch.inputs.problems import MAX_PROBLEMS

_PDF = "application/pdf"
_LABELS = ("key", "id", "custom_id")
# The value at which a setting asks for nothing.
_NEUTRAL: Mapping[str, Any] = {
    "candidateCount": 1,
    "responseMimeType": "text/plain",
    "responseLogprobs": False,
}


def is_gemini(fields: Mapping[str, Any]) -> bool:
    """Whether it has Gemini's contents."""
    return bool(as_list(fields, "contents") or as_list(as_object(fields, "request"), "contents"))


def from_gemini(fields: Mapping[str, Any]) -> ConvertedLine:
    """Its contents as messages; settings with the same meaning under our names."""
    alone = "contents" in fields
    request = fields if alone else as_object(fields, "request")
    problems: list[Problem] = []
    own: dict[str, Any] = {"messages": []}
    for name, value in request.items():
        reader = _READERS.get(_camel(name))
        if reader is not None:
            reader(own, name, value, problems)
        # Alone, it has its labels beside its members; whatever else is a setting.
        elif not (alone and name in _LABELS) and value not in (None, [], {}):
            problems.append(without_equal("" if alone else "request", name, value))
    label = next((name for name in _LABELS if name in fields), None)
    if label is not None:
        own["id"] = fields[label]
    columns = [] if alone else [name for name in fields if name not in ("request", label)]
    return ConvertedLine(own, columns, problems[:MAX_PROBLEMS])


def _contents(own: dict[str, Any], name: str, value: Any, problems: list[Problem]) -> None:
    for number, given in enumerate(value if isinstance(value, list) else []):
        place = f"{name}[{number}]"
        content = given if isinstance(given, dict) else {}
        role = "assistant" if content.get("role") == "model" else "user"
        if content.get("role") not in (None, "user", "model"):
            problems.append(no_part(f"{place}.role", content["role"]))
        message = {"role": role, "content": _parts(place, content, problems)}
        own["messages"].append(message)


def _instruction(own: dict[str, Any], name: str, value: Any, problems: list[Problem]) -> None:
    content = {"parts": [{"text": value}]} if isinstance(value, str) else value
    system = _parts(name, content if isinstance(content, dict) else {}, problems)
    if isinstance(system, str):
        own["system"] = system
    else:
        problems.append(no_part(name, value))


def _settings(own: dict[str, Any], name: str, value: Any, problems: list[Problem]) -> None:
    settings = value if isinstance(value, dict) else {}
    for given, setting in settings.items():
        known = _camel(given)
        if known == "maxOutputTokens":
            own["max_tokens"] = setting
        elif known == "stopSequences":
            own["stop_sequences"] = setting
        elif known in ("responseJsonSchema", "_responseJsonSchema"):
            own["output_config"] = {"format": {"type": "json_schema", "schema": setting}}
        # Said twice: the schema is JSON already.
        elif known == "responseMimeType" and "responseJsonSchema" in map(_camel, settings):
            continue
        # `responseSchema` is among these: its types are not those of JSON schemas.
        elif setting is not None and setting != _NEUTRAL.get(known, _NEUTRAL):
            problems.append(without_equal(name, given, setting))


def _parts(place: str, content: Mapping[str, Any], problems: list[Problem]) -> Any:
    """The parts as blocks, or as one text where they are nothing else."""
    blocks = [
        _block(f"{place}.parts[{number}]", part, problems)
        for number, part in enumerate(as_list(content, "parts"))
    ]
    # Its texts are pieces of one: a line break between them would be ours.
    if all(block.get("type") == "text" for block in blocks):
        return "".join(block["text"] for block in blocks)
    return blocks


def _block(place: str, part: Any, problems: list[Problem]) -> dict[str, Any]:
    data = _inline(part) if isinstance(part, dict) else None
    if isinstance(part, dict) and isinstance(part.get("text"), str) and len(part) == 1:
        return {"type": "text", "text": part["text"]}
    if data is not None:
        kind = data.get("mimeType", data.get("mime_type"))
        source = {"type": "base64", "media_type": kind, "data": data.get("data")}
        return {"type": "document" if kind == _PDF else "image", "source": source}
    problems.append(no_part(place, part))
    return {}


def _inline(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    data = part.get("inlineData", part.get("inline_data"))
    return data if isinstance(data, dict) and len(part) == 1 else None


def _model(own: dict[str, Any], name: str, value: Any, problems: list[Problem]) -> None:
    own["model"] = value.removeprefix("models/") if isinstance(value, str) else value


def _camel(name: str) -> str:
    """The JSON name of a member; its Python clients write `max_output_tokens`."""
    first, *rest = name.split("_") if not name.startswith("_") else [name]
    return first + "".join(word.capitalize() for word in rest)


_READERS: Mapping[str, Callable[[dict[str, Any], str, Any, list[Problem]], None]] = {
    "contents": _contents,
    "systemInstruction": _instruction,
    "generationConfig": _settings,
    "model": _model,
}
