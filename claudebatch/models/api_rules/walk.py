"""Every content block of a request, in the API's order, with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

# The members of a block that hold blocks again.
_INNER = ("content", "source")


@dataclass(frozen=True, slots=True)
class Names:
    """How the line calls the conversation, and how many system messages stood before
    it there.
    """

    messages: str = "messages"
    first: int = 0


AS_SENT = Names()


class Placed(NamedTuple):
    """A block of the request."""

    where: str
    role: str
    """Of its message; `system` for the system prompt, `tool` for a tool."""
    block: dict[str, Any]
    inner: bool
    """Whether another block holds it."""


def blocks(params: Mapping[str, Any], names: Names) -> list[Placed]:
    """The blocks of tools, system prompt and messages: the order in which the API
    caches them.
    """
    placed: list[Placed] = []
    if "tools" in params:
        placed += _listed("tools", "tool", params["tools"])
    if type(params.get("system")) is list:
        placed += _listed("system", "system", params["system"])
    for number, message in enumerate(params.get("messages") or ()):
        # Most messages are a text and hold no block.
        if type(message) is dict and type(message.get("content")) is list:
            where = f"{names.messages}[{names.first + number}].content"
            placed += _listed(where, message.get("role"), message["content"])
    return placed


def _listed(where: str, role: Any, items: Any, *, inner: bool = False) -> Iterator[Placed]:
    if type(items) is not list:
        return
    for number, block in enumerate(items):
        if type(block) is dict:
            place = f"{where}[{number}]"
            # What a block holds comes before its own mark.
            if role != "tool":
                yield from _within(place, role, block)
            yield Placed(place, role, block, inner)


def _within(where: str, role: Any, block: dict[str, Any]) -> Iterator[Placed]:
    for name in _INNER:
        held = block.get(name)
        if type(held) is list:
            yield from _listed(f"{where}.{name}", role, held, inner=True)
        elif type(held) is dict:
            yield from _within(f"{where}.{name}", role, held)
