"""A small value that fits a JSON schema: the content of simulated structured outputs
and tool calls.

It belongs to the package, because a rehearsal must answer rows with a schema in the
right form, or the user's own reader of results would fail on it.
"""

from __future__ import annotations

import re
from typing import Any

MAX_DEPTH = 12
"""The API refuses recursive schemas; here one is cut off, because it would end the
simulator with a RecursionError.
"""

_SCALARS: dict[str, Any] = {
    "string": "simulated",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
}


# A text of each format that schemas name.
_FORMATS: dict[str, str] = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "simulated@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# For patterns, the first that fits: no text is made up to fit any pattern.
_TEXTS = ("simulated", "Simulated", "SIMULATED", "a", "A", "1", "12", "123", "1234", "12345")


def instance_of(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """The simplest value of *schema*, always the same; `None` for an unknown schema."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    root = schema if root is None else root
    for shortcut in ("const", "default"):
        if shortcut in schema:
            return schema[shortcut]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return instance_of(_resolve(schema["$ref"], root), root, depth + 1)
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return instance_of(schema[union][0], root, depth + 1)
    return _typed(schema, root, depth)


def _typed(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        return {name: instance_of(part, root, depth + 1) for name, part in properties.items()}
    if kind == "array":
        return [instance_of(schema.get("items"), root, depth + 1)] * int(
            bool(schema.get("minItems"))
        )
    return _text(schema) if kind == "string" else _SCALARS.get(str(kind))


def _text(schema: dict[str, Any]) -> str:
    pattern = schema.get("pattern")
    texts = (_FORMATS.get(str(schema.get("format")), _TEXTS[0]), *_TEXTS, *_FORMATS.values())
    if not isinstance(pattern, str):
        return texts[0]
    try:
        return next((text for text in texts if re.search(pattern, text)), texts[0])
    except re.error:  # of another dialect
        return texts[0]


def _resolve(reference: Any, root: Any) -> Any:
    found = root
    for part in str(reference).removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found
