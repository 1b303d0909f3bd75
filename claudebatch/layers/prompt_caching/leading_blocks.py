"""The beginnings of a request: one ends with each block of tools, system prompt and
messages, in the order in which the API caches them.

Two requests share a beginning where its digests are equal. In it goes what the API
reads before the block's end, byte for byte as it is sent, and whatever else makes it
read anew: the model, beta headers, thinking, effort and form of the answer, the speed
and citations from the start; the tool choice, and whether there are images, from the
first message on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from zlib import crc32

from claudebatch.core.jsonl import encode

TOOLS, SYSTEM = "tools", "system"
DIGEST_BYTES = 8
FROM_THE_START = ("thinking", "output_config", "speed", "container", "context_management")
# Kinds of blocks that take a mark.
_MARKABLE = frozenset(("text", "image", "document", "tool_use", "tool_result", "search_result"))
# Of longer blocks both ends and a checksum are hashed: five times as fast. Two blocks
# that are taken for one all the same cost a mark in vain.
_HASHED_WHOLE = 4_096
_END = 1_024
_OF_TEXT = {"type", "text", "cache_control"}


class Block(NamedTuple):
    """One block, where it stands: `holder[index]` is its value."""

    role: str
    """Of its message; `system` and `tools` for the others."""
    value: Any
    """The block; of a content that is a plain text, the text."""
    holder: Any
    index: Any

    @property
    def markable(self) -> bool:
        """Whether the API takes a mark on it."""
        value = self.value
        if type(value) is str and self.role != TOOLS:
            return bool(value)
        if self.role == TOOLS:
            return isinstance(value, dict) and not value.get("defer_loading")
        kind = value.get("type") if isinstance(value, dict) else None
        return kind in _MARKABLE and (kind != "text" or bool(value.get("text")))


def blocks(params: Mapping[str, Any]) -> list[Block]:
    """All blocks of the request *params*, or of a decoded body."""
    found: list[Block] = []
    # The order of the API: a change in one takes all that come after it.
    tools = params.get(TOOLS)
    if isinstance(tools, list):
        found += [Block(TOOLS, tool, tools, place) for place, tool in enumerate(tools)]
    _add(found, SYSTEM, params, SYSTEM)
    for message in params.get("messages") or ():
        if isinstance(message, dict):
            _add(found, str(message.get("role")), message, "content")
    return found


def _add(found: list[Block], role: str, holder: Any, index: str) -> None:
    content = holder.get(index)
    if isinstance(content, str):
        found.append(Block(role, content, holder, index))
    elif isinstance(content, list):
        found += [Block(role, block, content, place) for place, block in enumerate(content)]


class Beginnings:
    """Tells the beginnings of requests, one after the other. What a request shares with
    the one before it is compared, which takes a fraction of the time of hashing it.
    """

    def __init__(self) -> None:
        # Mutable: the request before.
        self._salts = (b"", b"")
        self._blocks: Sequence[Block] = ()
        self._digests: list[bytes] = []

    def of(
        self,
        model: str,
        betas: Sequence[str],
        params: Mapping[str, Any],
        found: Sequence[Block],
        count: int,
    ) -> Sequence[bytes]:
        """The digests of the first *count* beginnings of a request with *params*, whose
        blocks were *found*.
        """
        salts = read_anew_by(model, betas, params, [one.value for one in found])
        # Rows stand beside those that they share most with, in nearly all files.
        same = 0
        if salts == self._salts:
            for before, now in zip(self._blocks, found[:count], strict=False):
                if before.role != now.role or before.value != now.value:
                    break
                same += 1
        digests = self._digests[:same]
        for number in range(same, count):
            role = found[number].role
            turn = role not in (TOOLS, SYSTEM)
            start = digests[-1] if number else salts[0]
            # Once, where messages begin: each digest goes on from the one before.
            if turn and (number == 0 or found[number - 1].role in (TOOLS, SYSTEM)):
                start += salts[1]
            digests.append(_digest(start, role, found[number].value))
        self._salts, self._blocks, self._digests = salts, found[:count], digests
        return digests


def read_anew_by(
    model: str, betas: Sequence[str], params: Mapping[str, Any], values: Sequence[Any]
) -> tuple[bytes, bytes]:
    """What else has the API read all blocks of a request anew, and those of messages;
    *values* are its blocks.
    """
    others = [params.get(name) for name in FROM_THE_START]
    objects = [value for value in values if type(value) is dict]
    start = encode([model, sorted(betas), *others, any(map(_cites, objects))])
    return start, encode([params.get("tool_choice"), any(map(_has_image, objects))])


def _digest(before: bytes, role: str, block: Any) -> bytes:
    """The digest of a beginning that goes on with *block* after that of *before*."""
    text = block if type(block) is str else plain_text(block)
    data = encode(without_mark(block)) if text is None else text.encode()
    if len(data) > _HASHED_WHOLE:
        data = b"%d %d %b %b" % (len(data), crc32(data), data[:_END], data[-_END:])
    # With lengths: no two requests may spell the same bytes.
    kind = _kind(len(before), role, text is None)
    return blake2b(kind + before + data, digest_size=DIGEST_BYTES).digest()


# A conversation of forty turns asks for the same two forty times.
@lru_cache(maxsize=1024)
def _kind(length: int, role: str, other: bool) -> bytes:
    return f"{length} {other} {role} ".encode()


def plain_text(block: Any) -> str | None:
    """The text of a block that is nothing else; None of other blocks."""
    if isinstance(block, str):
        return block
    if isinstance(block, dict) and block.get("type") == "text":
        text = block.get("text")
        if isinstance(text, str) and block.keys() <= _OF_TEXT:
            return text
    return None


def without_mark(block: Any) -> Any:
    """*block* without a mark of its own: marked or not, it is the same to the API."""
    if isinstance(block, dict) and "cache_control" in block:
        return {name: value for name, value in block.items() if name != "cache_control"}
    return block


def _cites(block: Mapping[str, Any]) -> bool:
    citations = block.get("citations")
    return isinstance(citations, dict) and bool(citations.get("enabled"))


def _has_image(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    held = block.get("content")
    return block.get("type") == "image" or (
        isinstance(held, list) and any(_has_image(inner) for inner in held)
    )
