"""Values made from the types of the data file: right ones, and each with one thing
wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.models.api_rules.read_sdk import PATH

DATA = msgspec.json.decode(PATH.read_bytes())
_WORDS: dict[str, Any] = {
    "str": "x",
    "int": 1,
    "float": 1.5,
    "bool": True,
    "null": None,
    "any": {"any": ["thing"]},
    "object": {"a": 1},
}
# Types hold themselves: deeper than this, only what is required is made.
_DEEP = 3


def examples(kind: Any, depth: int = 0) -> Iterator[Any]:
    """Right values of *kind*: each alternative, and objects with little and with
    everything.
    """
    if isinstance(kind, str):
        yield _WORDS[kind]
        return
    word, *rest = kind
    if word == "lit":
        yield from rest
    elif word == "list":
        yield list(examples(rest[0], depth + 1))
    elif word == "map":
        yield {"a": one(rest[0], depth + 1)}
    elif word == "union":
        for option in rest:
            yield from examples(option, depth) if depth < _DEEP else [one(option, depth)]
    else:
        yield _object(rest[0], depth, everything=False)
        if depth < _DEEP:
            yield _object(rest[0], depth, everything=True)


def one(kind: Any, depth: int) -> Any:
    """The first example of *kind*."""
    return next(examples(kind, max(depth, _DEEP)))


def _object(name: str, depth: int, *, everything: bool) -> dict[str, Any]:
    fields = DATA["types"][name]
    return {
        field: one(kind, depth + 1)
        for field, (kind, required) in fields.items()
        if (required or everything) and field != "*"
    }


def mutants(value: Any) -> Iterator[Any]:
    """*value* with one thing wrong, anywhere in it."""
    for path in _paths(value, ()):
        held = _at(value, path)
        for wrong in _wrongs(held):
            yield _with(value, path, wrong)


def _paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for step, item in inner:
        yield from _paths(item, (*path, step))


def _wrongs(held: Any) -> Iterator[Any]:
    yield from ({"wrong": True}, ["wrong"], "wrong", 1.5, False, None)
    if isinstance(held, dict):
        yield {**held, "unknown_member": 1}
        for name in held:
            yield {key: item for key, item in held.items() if key != name}


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: tuple[Any, ...], held: Any) -> Any:
    if not path:
        return held
    changed = copy.deepcopy(value)
    _at(changed, path[:-1])[path[-1]] = held
    return changed
