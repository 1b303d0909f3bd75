"""JSON schemas that answers are forced into: closed objects, and no ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules.wording import MAX_PROBLEMS, member, shown

# What the grammar of an answer cannot hold: the API refuses them rather than ignore
# them.
_RANGES = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
)
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf", "oneOf")
_SAY = 'say it in a "description", and check the answer'


# What the grammar of one answer may have in all.
_MOST_OPTIONAL = 24
_MOST_UNIONS = 16


def output_format(params: Mapping[str, Any]) -> Iterator[Problem]:
    """What the schema of `output_config.format` may not have."""
    config = params.get("output_config")
    wanted = config.get("format") if type(config) is dict else None
    if type(wanted) is dict and type(wanted.get("schema")) is dict:
        yield from _for_text("output_config.format.schema", wanted["schema"])


def output_schema(schema: dict[str, Any]) -> Iterator[Problem]:
    """What a schema for the text of an answer may not have; it is called `schema`."""
    yield from _for_text("schema", schema)


def _for_text(where: str, schema: dict[str, Any]) -> Iterator[Problem]:
    yield from closed_schema(where, schema)
    optional, unions = 0, 0
    for _, inner in _all(where, schema):
        properties, required = inner.get("properties"), inner.get("required")
        if type(properties) is dict:
            named = required if type(required) is list else ()
            optional += sum(name not in named for name in properties)
        unions += type(inner.get("type")) is list or "anyOf" in inner
    if optional > _MOST_OPTIONAL:
        yield Problem(
            "E473",
            f'"{where}" has {optional} properties that are not "required"',
            f"the API takes {_MOST_OPTIONAL}: require more of them",
        )
    if unions > _MOST_UNIONS:
        yield Problem(
            "E474",
            f'"{where}" has {unions} places with several types',
            f"the API takes {_MOST_UNIONS}: use fewer",
        )


def _all(where: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """*schema* and all schemas within it, with their places."""
    # Without recursion of Python's: a schema may be as deep as a line is long.
    stack = [(where, schema)]
    while stack:
        place, present = stack.pop()
        yield place, present
        stack += _inner(place, present)


def closed_schema(where: str, schema: dict[str, Any]) -> Iterator[Problem]:
    """What a schema may not have that an answer is forced into."""
    yield from islice(_schema(where, schema), MAX_PROBLEMS)
    place = _recursive(where, schema)
    if place is not None:
        yield Problem(
            "E460",
            f'"{place}" leads back to a schema that holds it: the API takes no recursive schemas',
            "write out as many levels as you need",
        )


def _schema(where: str, schema: dict[str, Any]) -> Iterator[Problem]:
    kind = schema.get("type")
    is_object = kind == "object" or (type(kind) is list and "object" in kind)
    if is_object and schema.get("additionalProperties") is not False:
        yield Problem(
            "E404",
            f'"{where}" is an object without "additionalProperties": false',
            "add it: the API fills closed objects only",
        )
    for name in _RANGES:
        if name in schema:
            yield Problem(
                "E405", f'"{where}.{name}" is not supported by the API', f"remove it; {_SAY}"
            )
    least = schema.get("minItems", 0)
    if type(least) is int and least > 1:
        yield Problem("E406", f'"{where}.minItems" is {least}', f"0 and 1 are supported; {_SAY}")
    reference = schema.get("$ref")
    if type(reference) is str and not reference.startswith("#"):
        yield Problem(
            "E407",
            f'"{where}.$ref" is {shown(reference)}',
            "the API reads no other document: copy it in",
        )
    for place, inner in _inner(where, schema):
        yield from _schema(place, inner)


def _recursive(where: str, schema: dict[str, Any]) -> str | None:
    """The place of a reference by which a schema holds itself; None without one."""
    # Without recursion of Python's: a schema may be as deep as a line is long. Open
    # are the schemas on the way to the present one, done are those without a way back.
    opened: set[int] = set()
    done: set[int] = set()
    stack = [(where, schema, False)]
    while stack:
        place, present, left = stack.pop()
        if left:
            opened.discard(id(present))
            done.add(id(present))
        elif id(present) in opened:
            return place
        elif id(present) not in done:
            opened.add(id(present))
            stack.append((place, present, True))
            stack += ((at, inner, False) for at, inner in _reached(place, present, schema))
    return None


def _reached(
    where: str, present: dict[str, Any], root: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas that an answer to *present* may need: what it holds, and what it
    refers to.
    """
    yield from (
        (place, inner)
        for place, inner in _inner(where, present)
        if not place.startswith((f"{where}.$defs.", f"{where}.definitions."))
    )
    reference = present.get("$ref")
    if type(reference) is str and reference.startswith("#"):
        found: Any = root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if type(found) is dict else None
        if type(found) is dict:
            yield f"{where}.$ref", found


def _inner(where: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas right within *schema*, with their places."""
    for name in _MAPS:
        held = schema.get(name)
        for key, inner in held.items() if type(held) is dict else ():
            if type(inner) is dict:
                yield member(f"{where}.{name}", key), inner
    for name in _LISTS:
        held = schema.get(name)
        for number, inner in enumerate(held if type(held) is list else ()):
            if type(inner) is dict:
                yield f"{where}.{name}[{number}]", inner
    if type(schema.get("items")) is dict:
        yield f"{where}.items", schema["items"]
