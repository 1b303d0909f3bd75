"""The marks that a request has already: the beginnings that they end, and the request
without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from claudebatch.core.domain import Call
from claudebatch.core.jsonl import decode, encode_in_order
from claudebatch.layers.prompt_caching.leading_blocks import read_anew_by, without_mark
from claudebatch.layers.prompt_caching.placed import PlacedCall

MARK = "cache_control"
_MARK = b'"cache_control"'
# As documented: an entry lives for so long after its last use.
_TTL_S = {"1h": 3600.0}
_USUAL_TTL_S = 300.0


def place(call: Call) -> PlacedCall:
    """*call* as it is, and the beginnings that end at its own marks."""
    if _MARK not in call.body:
        return PlacedCall(call, None, 0.0)
    body = decode(call.body)
    blocks = list(_blocks(body))
    marked = [number for number, block in enumerate(blocks) if block.mark is not None]
    if not marked:
        # The words stand in a text, or where they mean nothing.
        return PlacedCall(call, None, 0.0)
    *shorter, beginning = _digests(call, body, blocks, marked)
    return PlacedCall(call, beginning, _ttl_s(blocks[marked[-1]].mark), tuple(shorter))


def without_marks(call: Call, keep: int = 0) -> Call:
    """*call* with its first *keep* marks only."""
    body = decode(call.body)
    kept = 0
    for block in _blocks(body):
        if block.mark is None:
            continue
        kept += 1
        if kept > keep:
            for holder in _holders(block.content):
                holder.pop(MARK, None)
            # The mark of the request as a whole stands for its last block, also where
            # that one has a mark of its own.
            body.pop(MARK, None)
    # In its own order: that of a schema's fields means something.
    return replace(call, body=encode_in_order(body))


@dataclass(frozen=True, slots=True)
class _MarkedBlock:
    place: bytes
    content: Any
    mark: Any
    """Its own, that of what it holds, or that of the request as a whole; None: it has
    none.
    """

    @property
    def in_turn(self) -> bool:
        """Whether it stands in a message."""
        return self.place[:1].isdigit()


def _blocks(body: dict[str, Any]) -> Iterator[_MarkedBlock]:
    """The blocks of a request in the order in which the API caches them."""
    last: _MarkedBlock | None = None
    for place, content in _contents(body):
        if last is not None:
            yield last
        last = _MarkedBlock(place, content, _mark(content))
    if last is not None:
        everything = body.get(MARK)
        alone = last.mark is None and everything is not None
        yield replace(last, mark=everything) if alone else last


def _contents(body: dict[str, Any]) -> Iterator[tuple[bytes, Any]]:
    for tool in body.get("tools") or ():
        yield b"tool", tool
    for block in _listed(body.get("system")):
        yield b"system", block
    for number, message in enumerate(body.get("messages") or ()):
        if isinstance(message, dict):
            place = b"%d %b" % (number, str(message.get("role")).encode())
            for block in _listed(message.get("content")):
                yield place, block


def _listed(content: Any) -> list[Any]:
    return list(content) if isinstance(content, list) else [content] if content else []


def _mark(content: Any) -> Any:
    if not isinstance(content, dict):
        return None
    mark = content.get(MARK)
    # Quick for nearly all blocks, which hold no others.
    if mark is not None or not isinstance(content.get("content"), list):
        return mark
    marks = (holder.get(MARK) for holder in _holders(content))
    return next((one for one in marks if one is not None), None)


def _holders(content: Any) -> Iterator[dict[str, Any]]:
    """Where a block may have its mark: itself, and what the result of a tool holds."""
    if isinstance(content, dict):
        yield content
        held = content.get("content")
        if isinstance(held, list):
            yield from (inner for inner in held if isinstance(inner, dict))


def _digests(
    call: Call, body: dict[str, Any], blocks: list[_MarkedBlock], marked: list[int]
) -> Iterator[bytes]:
    # Too fine a digest costs a wait, too coarse a one a write for each row.
    contents = [block.content for block in blocks]
    of_all, of_turns = read_anew_by(call.model, call.prompt.betas, body, contents)
    hasher = blake2b(of_all, digest_size=16)
    begin = 0
    for end in marked:
        for block in blocks[begin : end + 1]:
            if block.in_turn and of_turns:
                hasher.update(of_turns)
                of_turns = b""
            hasher.update(b"\n%b " % block.place)
            hasher.update(encode_in_order(_unmarked(block.content)))
        begin = end + 1
        yield hasher.digest()


def _unmarked(content: Any) -> Any:
    """*content* as the API reads it: without marks, and a text alone as a block."""
    if isinstance(content, str):
        return {"text": content, "type": "text"}
    bare = without_mark(content)
    held = bare.get("content") if isinstance(bare, dict) else None
    if isinstance(held, list):
        return {**bare, "content": [without_mark(one) for one in held]}
    return bare


def _ttl_s(mark: Any) -> float:
    ttl = mark.get("ttl") if isinstance(mark, dict) else None
    return _TTL_S.get(str(ttl), _USUAL_TTL_S)
