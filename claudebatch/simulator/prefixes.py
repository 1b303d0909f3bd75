"""The beginnings of a request that the prompt cache may keep: one ends with each block
of tools, system prompt and messages, in this order.

A beginning is known by a digest of everything that goes into it. Members of the request
outside these blocks count from the level on which the documentation says that they
change it: the speed, web search and citations for the system prompt, the choice of a
tool, images and the format of the answer for the messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

from claudebatch.simulator import wire
from claudebatch.simulator.count_input import FRAME_BYTES, forces_tool, tokens_of, weigh
from claudebatch.simulator.refusals import bad
from claudebatch.simulator.traits import Traits

MAX_MARKS = 4
TTLS = ("5m", "1h")
WINDOW = 20
"""Positions that are looked up from a mark backwards, itself the first of them."""
# A run of blocks of one of these kinds is one position.
_RUNS = frozenset({"tool_use", "tool_result"})
# The mark for all of a request never falls on these.
_UNMARKABLE = frozenset({"thinking", "redacted_thinking"})

Part: TypeAlias = tuple[str, wire.Body]


@dataclass(frozen=True, slots=True)
class Prefix:
    """A beginning of a request."""

    key: bytes
    tokens: int
    ttl: str | None
    """Of the mark on its last block; None: it has no mark."""
    kind: str
    """The type of its last block."""


def prefixes(body: wire.Body, traits: Traits, owner: str) -> list[Prefix]:
    """Every beginning of a request of *owner*, the shortest first; raises the API's 400
    for wrong marks.
    """
    found = _all(body, traits, owner)
    _check([prefix.ttl for prefix in found if prefix.ttl is not None])
    return found


def windows(found: list[Prefix]) -> Iterator[Prefix]:
    """The beginnings that are looked up: those at most twenty positions before a
    mark.
    """
    for last, marked in enumerate(found):
        if marked.ttl is None:
            continue
        positions, after = 0, ""
        for prefix in reversed(found[: last + 1]):
            positions += prefix.kind not in _RUNS or prefix.kind != after
            after = prefix.kind
            if positions > WINDOW:
                break
            yield prefix


def levels(body: wire.Body) -> Iterator[tuple[str, list[Part], wire.Body]]:
    """Tools, system prompt and messages: their blocks, each with its role, and what
    else of the request changes this level.
    """
    tools: list[wire.Body] = body.get("tools") or []
    turns = [(one["role"], block) for one in body["messages"] for block in blocks(one["content"])]
    config = body.get("output_config") or {}
    # Which models put these before tools and system prompt is not said of each: all do,
    # here.
    yield (
        "tools",
        [("tool", tool) for tool in tools],
        {
            "thinking": body.get("thinking"),
            "effort": config.get("effort"),
        },
    )
    yield (
        "system",
        [("system", block) for block in blocks(body.get("system") or ())],
        {
            "speed": body.get("speed"),
            "searches": any(str(t.get("type", "")).startswith("web_search") for t in tools),
            "cites": any(_cites(block) for _, block in turns),
        },
    )
    yield (
        "messages",
        turns,
        {
            "choice": body.get("tool_choice"),
            "images": any(_has_image(block) for _, block in turns),
            "format": config.get("format"),
        },
    )


def blocks(content: Any) -> list[wire.Body]:
    """The blocks of a content; a text alone is one block of text."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def without_marks(block: Any) -> Any:
    """*block* as it counts for the cache: the same text with another mark is the same
    beginning.
    """
    if not isinstance(block, dict):
        return block
    bare = {name: value for name, value in block.items() if name != "cache_control"}
    if isinstance(bare.get("content"), list):
        bare["content"] = [without_marks(inner) for inner in bare["content"]]
    return bare


def _all(body: wire.Body, traits: Traits, owner: str) -> list[Prefix]:
    hasher = blake2b(wire.canonical([owner, body["model"]]), digest_size=16)
    # The hidden tool prompt stands before everything else, so it is part of every
    # prefix.
    hidden = traits.tool_tokens[forces_tool(body)] if body.get("tools") else 0
    weight = FRAME_BYTES
    found: list[Prefix] = []
    for level, parts, more in levels(body):
        hasher.update(wire.canonical([level, more]))
        for role, block in parts:
            hasher.update(wire.canonical([role, without_marks(block)]))
            weight += len(wire.encode(without_marks(block))) if level == "tools" else weigh(block)
            tokens = hidden + tokens_of(weight, traits)
            kind = "tool" if level == "tools" else str(block.get("type"))
            found.append(Prefix(hasher.digest(), tokens, _ttl(_mark(block)), kind))
    return _with_automatic(body, found)


def _with_automatic(body: wire.Body, found: list[Prefix]) -> list[Prefix]:
    """*found* with the mark of the request as a whole on its last block that takes
    one.
    """
    wanted = _ttl(body.get("cache_control"))
    if wanted is None:
        return found
    # Backwards and without a word: the API does not refuse what it cannot mark.
    for place in reversed(range(len(found))):
        last = found[place]
        if last.kind in _UNMARKABLE:
            continue
        if last.ttl not in (None, wanted):
            raise bad("cache_control: the last block has a cache_control with another ttl")
        found[place] = Prefix(last.key, last.tokens, wanted, last.kind)
        break
    return found


def _check(ttls: list[str]) -> None:
    if len(ttls) > MAX_MARKS:
        raise bad(
            f"A maximum of {MAX_MARKS} blocks with cache_control may be provided. Found "
            f"{len(ttls)}."
        )
    if "5m" in ttls and "1h" in ttls[ttls.index("5m") :]:
        raise bad(
            "cache_control.ttl: a block with ttl='1h' must not come after one with ttl='5m', in "
            "the order tools, system, messages"
        )


def _mark(block: wire.Body) -> Any:
    """The mark of *block*, or else one of what it holds."""
    if block.get("cache_control") is not None:
        return block["cache_control"]
    held = block.get("content")
    for inner in held if isinstance(held, list) else ():
        if isinstance(inner, dict) and inner.get("cache_control") is not None:
            return inner["cache_control"]
    return None


def _ttl(mark: Any) -> str | None:
    if mark is None:
        return None
    ttl = mark.get("ttl", "5m") if isinstance(mark, dict) else None
    if ttl not in TTLS:
        raise bad(f"cache_control.ttl: Input should be '5m' or '1h', got {ttl!r}")
    return str(ttl)


def _cites(block: wire.Body) -> bool:
    citations = block.get("citations")
    return isinstance(citations, dict) and bool(citations.get("enabled"))


def _has_image(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    held = block.get("content")
    return block.get("type") == "image" or (
        isinstance(held, list) and any(_has_image(inner) for inner in held)
    )
