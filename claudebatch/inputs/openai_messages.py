"""OpenAI chat messages in the words of the Messages API, where the meaning is the same;
named refusals elsewhere.

Leading `system` and `developer` messages become `system`, `tool_calls` become
`tool_use` blocks, `tool` messages become `tool_result` blocks of one user message, and
`image_url` and `file` parts become blocks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, TypeAlias

from claudebatch.core.errors import Problem
from claudebatch.core.jsonl import InvalidJson, decode
from claudebatch.inputs.problems import MAX_PROBLEMS, shown, until_many, wrong
from claudebatch.models.api_rules import LONGEST_TITLE

Problems: TypeAlias = list[Problem]

# Only the four types that the API reads: any other would be a 400 for each row.
_IMAGE_DATA = re.compile(r"data:(image/(?:jpeg|png|gif|webp));base64,", re.IGNORECASE)
_PDF_DATA = re.compile(r"data:application/pdf;base64,", re.IGNORECASE)
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NO_CALL_ID = re.compile(r"[^a-zA-Z0-9_-]")
_KEPT_OF_ID, _DIGITS_OF_ID = 40, 12
_TEXT_FIX = 'write {"type": "text", "text": "…"}'
_MEMBERS: Mapping[str, frozenset[str]] = {
    "system": frozenset({"role", "content"}),
    "developer": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}


def translate_messages(value: Any, problems: Problems) -> list[Any] | None:
    """The same conversation as Messages API messages; None, with *problems* added, if
    it has no translation.
    """
    if not isinstance(value, list) or not value:
        problems.append(
            wrong(
                "messages", "a list of at least one message", value, 'write [{"role": "user", …}]'
            )
        )
        return None
    before = len(problems)
    translated: list[Any] = []
    for number, message in until_many(value, problems):
        _add(f"messages[{number}]", message, translated, problems)
    return translated if len(problems) == before else None


def _add(where: str, message: Any, translated: list[Any], problems: Problems) -> None:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str) or role not in _MEMBERS:
        fix = (
            "use tool_calls and the tool role"
            if role == "function"
            else "use system, developer, user, assistant, tool"
        )
        problems.append(wrong(f"{where}.role", "a role that can be translated", role, fix))
        return
    # OpenAI's own answers carry `"refusal": null` and the like: copied back as history,
    # they ask for nothing.
    given = {key: value for key, value in message.items() if value is not None}
    for key in sorted(given.keys() - _MEMBERS[role])[:MAX_PROBLEMS]:
        problems.append(
            Problem(
                "E376",
                f'"{where}" has {shown(key)}, which has no equal in the Messages API',
                "remove it",
            )
        )
    if role == "tool":
        _add_result(where, given, translated, problems)
    elif role == "assistant":
        translated.append({"role": "assistant", "content": _said(where, given, problems)})
    else:
        spoken = "user" if role == "user" else "system"
        parts = _USER_PARTS if role == "user" else _TEXT_PARTS
        translated.append(
            {"role": spoken, "content": _spoken(where, given.get("content"), parts, problems)}
        )


def _add_result(
    where: str, message: dict[str, Any], translated: list[Any], problems: Problems
) -> None:
    """Results of one turn share one user message: the API wants them all directly after
    the calls.
    """
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str) or not call_id:
        problems.append(
            wrong(f"{where}.tool_call_id", "a string", call_id, "name the call that it answers")
        )
    content = _content(where, message.get("content"), _TEXT_PARTS, problems)
    block = {"type": "tool_result", "tool_use_id": _call_id(call_id), "content": content}
    if translated and _is_results(translated[-1]):
        translated[-1]["content"].append(block)
    else:
        translated.append({"role": "user", "content": [block]})


def _is_results(message: dict[str, Any]) -> bool:
    content = message["content"]
    return isinstance(content, list) and bool(content) and content[-1].get("type") == "tool_result"


def _said(where: str, message: dict[str, Any], problems: Problems) -> Any:
    """An assistant's text and calls."""
    calls = message.get("tool_calls", [])
    if not isinstance(calls, list):
        problems.append(
            wrong(f"{where}.tool_calls", "a list", calls, "write a list, or leave it out")
        )
        return []
    if not calls:
        return _spoken(where, message.get("content"), _TEXT_PARTS, problems)
    # A message that only calls tools has null or "" as its content.
    text = message.get("content") or []
    text = [] if isinstance(text, str) and text.isspace() else text
    said = _content(where, text, _TEXT_PARTS, problems) if text else []
    blocks = [{"type": "text", "text": said}] if isinstance(said, str) else said
    return blocks + [
        _call(f"{where}.tool_calls[{n}]", call, problems) for n, call in until_many(calls, problems)
    ]


def _call(where: str, call: Any, problems: Problems) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type", "function") != "function":
        problems.append(
            wrong(
                where, "a function call", call, 'write {"id": …, "type": "function", "function": …}'
            )
        )
        return {}
    for name, value in (("id", call.get("id")), ("function.name", function.get("name"))):
        if not isinstance(value, str) or not value:
            problems.append(
                wrong(f"{where}.{name}", "a string", value, "give it as the API answered it")
            )
    arguments = _arguments(f"{where}.function.arguments", function.get("arguments"), problems)
    return {
        "type": "tool_use",
        "id": _call_id(call.get("id")),
        "name": function.get("name"),
        "input": arguments,
    }


def _call_id(given: Any) -> Any:
    """An id that the Messages API takes, the same for a call and for its result."""
    if not isinstance(given, str) or not given or _CALL_ID.fullmatch(given):
        return given
    # The digest keeps ids apart that differ in the replaced characters only.
    kept = _NO_CALL_ID.sub("_", given[:_KEPT_OF_ID])
    return f"{kept}-{sha256(given.encode()).hexdigest()[:_DIGITS_OF_ID]}"


def _arguments(where: str, text: Any, problems: Problems) -> Any:
    try:
        # OpenAI has the arguments as text, which a model wrote: it may be no JSON at
        # all.
        arguments = decode(text.encode()) if isinstance(text, str) else None
    except InvalidJson:
        arguments = None
    if not isinstance(arguments, dict):
        problems.append(
            wrong(where, "a string that holds a JSON object", text, 'write "{}" for no arguments')
        )
    return arguments


_Part: TypeAlias = Callable[[str, dict[str, Any], Problems], dict[str, Any]]


def _spoken(where: str, content: Any, parts: Mapping[str, _Part], problems: Problems) -> Any:
    """Content that may not be empty, as only the result of a tool may be."""
    silent = isinstance(content, list) and all(_is_silent(part) for part in content)
    if silent or content == "" or (isinstance(content, str) and content.isspace()):
        problems.append(
            Problem(
                "E377",
                f'"{where}.content" is empty',
                "the API refuses empty messages: give it text",
            )
        )
    return _content(where, content, parts, problems)


def _content(where: str, content: Any, parts: Mapping[str, _Part], problems: Problems) -> Any:
    """Text as it is, parts as blocks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        problems.append(
            wrong(f"{where}.content", "a string or a list of parts", content, _TEXT_FIX)
        )
        return []
    return [
        _block(f"{where}.content[{n}]", part, parts, problems)
        for n, part in until_many(content, problems)
        if not _is_silent(part)
    ]


def _is_silent(part: Any) -> bool:
    """Whether *part* is a text without any: the Messages API refuses it, and it says
    nothing.
    """
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    return isinstance(text, str) and (not text or text.isspace())


def _block(where: str, part: Any, parts: Mapping[str, _Part], problems: Problems) -> dict[str, Any]:
    """The translation of *part*; an empty block, with *problems* added, without one."""
    kind = part.get("type") if isinstance(part, dict) else None
    translate = parts.get(kind) if isinstance(kind, str) else None
    if translate is None:
        fix = "use " + " or ".join(parts)
        problems.append(wrong(f"{where}.type", "a kind of part that can be translated", kind, fix))
        return {}
    return translate(where, part, problems)


def _text(where: str, part: dict[str, Any], problems: Problems) -> dict[str, Any]:
    if not isinstance(part.get("text"), str):
        problems.append(wrong(f"{where}.text", "a string", part.get("text"), _TEXT_FIX))
        return {}
    return {"type": "text", "text": part["text"]}


def _image(where: str, part: dict[str, Any], problems: Problems) -> dict[str, Any]:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else None
    # "low" saves tokens at OpenAI. Claude has no such switch, and dropping it would
    # cost more than the user asked for.
    if isinstance(image, dict) and image.get("detail") not in (None, "auto", "high"):
        detail = shown(image["detail"])
        reason = f'"{where}.image_url.detail" is {detail}, which has no equal in the Messages API'
        problems.append(
            Problem("E378", reason, "remove it, and send a smaller image to save tokens")
        )
    if isinstance(url, str) and url.startswith("https://"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    found = _IMAGE_DATA.match(url) if isinstance(url, str) else None
    if found is None or not isinstance(url, str):
        expected = "an https: address or a base64 data: address of a JPEG, PNG, GIF or WebP image"
        problems.append(
            wrong(f"{where}.image_url.url", expected, url, "the API reads no other images")
        )
        return {}
    source = {"type": "base64", "media_type": found[1].lower(), "data": url[found.end() :]}
    return {"type": "image", "source": source}


def _file(where: str, part: dict[str, Any], problems: Problems) -> dict[str, Any]:
    file = part.get("file")
    data = file.get("file_data") if isinstance(file, dict) else None
    found = _PDF_DATA.match(data) if isinstance(data, str) else None
    if found is None or not isinstance(file, dict) or not isinstance(data, str):
        problems.append(
            wrong(
                f"{where}.file.file_data",
                "a base64 data: address of a PDF",
                data,
                "file ids are OpenAI's own",
            )
        )
        return {}
    source = {"type": "base64", "media_type": "application/pdf", "data": data[found.end() :]}
    name = file.get("filename")
    title = {"title": name[:LONGEST_TITLE]} if isinstance(name, str) and name else {}
    return {"type": "document", "source": source, **title}


_TEXT_PARTS: Mapping[str, _Part] = {"text": _text}
_USER_PARTS: Mapping[str, _Part] = {"text": _text, "image_url": _image, "file": _file}
