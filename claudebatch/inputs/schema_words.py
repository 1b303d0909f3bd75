"""A schema in a few words: `name, age int, tags [str], mood good|bad, note? str`.

Fields are separated by commas. A field is a name, a type (text where there is none)
and a description after a colon; `?` behind name or type lets the answer leave it out.
Types: str, int, number, bool, date, datetime, `[type]` for a list, `a|b` for one of
some words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_FIELD = re.compile(
    r"""(?P<name>[^\W\d][\w-]*)(?P<before>\?)?
    (?:\s+(?P<type>[^:"?]+?))?(?P<after>\?)?
    (?:\s*:\s*(?P<words>.*))?""",
    re.X | re.S,
)
_PIECES = re.compile(r'"[^"]*"|\[[^\[\]]*\]|[^,"\[]+|[,"\[]', re.S)
_WORD = re.compile(r"[^|\[\],\s][^|\[\],]*")
_TYPES: dict[str, dict[str, Any]] = {
    **{name: {"type": "string"} for name in ("str", "string", "text")},
    **{name: {"type": "integer"} for name in ("int", "integer")},
    **{name: {"type": "number"} for name in ("number", "float")},
    **{name: {"type": "boolean"} for name in ("bool", "boolean")},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
}
KNOWN_TYPES = "str, int, number, bool, date, datetime, [type] and a|b"


class BadWords(ValueError):
    """Words that spell no schema; the text is the reason."""


def schema_in_words(text: str) -> dict[str, Any]:
    """The schema that *text* spells. Raises `BadWords`."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in _parts(text):
        found = _FIELD.fullmatch(part)
        if found is None:
            raise BadWords(f'"{part}" is no field')
        name = found["name"]
        if name in properties:
            raise BadWords(f'the field "{name}" is there twice')
        schema = dict(_type(name, (found["type"] or "str").strip()))
        words = (found["words"] or "").strip().strip('"')
        if words:
            schema["description"] = words
        properties[name] = schema
        if not (found["before"] or found["after"]):
            required.append(name)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _parts(text: str) -> Iterator[str]:
    """The fields of *text*: a comma in quotes or brackets divides none."""
    part = ""
    for piece in _PIECES.findall(text):
        if piece == ",":
            yield part.strip()
            part = ""
        else:
            part += piece
    # A comma at the very end is no field.
    if part.strip() or not text.strip():
        yield part.strip()


def _type(name: str, text: str) -> dict[str, Any]:
    if text.startswith("[") and text.endswith("]"):
        return {"type": "array", "items": _type(name, text[1:-1].strip())}
    known = _TYPES.get(text.lower())
    if known is not None:
        return known
    if "|" in text:
        words = [word.strip() for word in text.split("|")]
        if all(_WORD.fullmatch(word) for word in words) and len(set(words)) == len(words):
            return {"type": "string", "enum": words}
        raise BadWords(f'the field "{name}" may be one of {text}: each word once, none empty')
    raise BadWords(f'the field "{name}" has the type "{text}"')
