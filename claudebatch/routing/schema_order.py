"""A schema as it is sent: the members of objects in the order of its author, for models
write them in that order, and a reason that comes after the answer is none.

All other keys are sorted, as everywhere in a request, so that a schema whose members
are in order of the alphabet is sent, and kept in caches, as it always was.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from claudebatch.core.answer_form import ANSWER_TOOL, schema_of
from claudebatch.core.jsonl import decode, encode, encode_in_order, spelt

# A run mostly has one.
_MOST_SCHEMAS = 64
_PROPERTIES = "properties"
ORDERED = frozenset({"output_config", "tools"})
"""Parameters that may hold a schema. Nearly all rows have none of them."""


def in_schema_order(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """*params*, whose schema is encoded in its own order."""
    schema = schema_of(params)
    if schema is not None:
        config = {**params["output_config"], "format": dict(params["output_config"]["format"])}
        config["format"]["schema"] = spelt(_ordered(encode_in_order(schema)))
        return {**params, "output_config": config}
    tools = params.get("tools")
    if not tools or not isinstance(tools[0], dict) or tools[0].get("name") != ANSWER_TOOL:
        return params
    first = {**tools[0], "input_schema": spelt(_ordered(encode_in_order(tools[0]["input_schema"])))}
    return {**params, "tools": [first, *tools[1:]]}


@lru_cache(maxsize=_MOST_SCHEMAS)
def _ordered(schema: bytes) -> bytes:
    return _encoded(decode(schema))


def _encoded(value: Any) -> bytes:
    if isinstance(value, list):
        return b"[" + b",".join(map(_encoded, value)) + b"]"
    if not isinstance(value, dict):
        return encode(value)
    members = (
        encode(name) + b":" + (_members(value[name]) if name == _PROPERTIES else _encoded(it))
        for name, it in sorted(value.items())
    )
    return b"{" + b",".join(members) + b"}"


def _members(properties: Any) -> bytes:
    if not isinstance(properties, dict):
        return _encoded(properties)
    members = (encode(name) + b":" + _encoded(it) for name, it in properties.items())
    return b"{" + b",".join(members) + b"}"
