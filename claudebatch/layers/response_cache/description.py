"""What is kept of a request beside its answer: a few words for lists, digests by which
the nearest request is found, and the request itself, long texts cut.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from claudebatch.core.domain import Call
from claudebatch.core.jsonl import InvalidJson, decode, encode

# Enough to tell a prompt by, and short beside its answer.
MOST_WORDS = 120
# Of a prompt's beginning and end: two prompts with one of them in common may be the
# same one, edited.
_EDGE = 60
# A document of megabytes is told by its two ends.
_LOOSE = 2000
# A request of this size is kept whole: nearly all are. Of larger ones, texts that are
# longer than the second number are kept as their ends and a digest.
_WHOLE = 32_768
_LONG_TEXT = 1000
_MOST_BYTES = 64 * 2**20
_CUT_HEAD, _CUT_TAIL = 300, 100
# Below it compressing takes longer than the bytes are worth.
_SMALL = 1024
# Blanks and punctuation: bytes, since a regular expression took longer than the rest.
_NO_LETTERS = b" \t\r\n.,;:!?'\"`*_#-()[]{}<>/|"


class Digests(NamedTuple):
    """By which requests like another one are found, to be compared in full. 32-bit
    numbers, 0: none.
    """

    messages: int
    """Of the messages, byte for byte."""
    before: int
    """Of all messages but the last."""
    head: int
    """Of the beginning of the last message."""
    tail: int
    """Of its end."""
    loose: int
    """Of its letters and digits, in lower case."""
    row: int
    """Of the row's own id, or of its file and line."""


class Description(NamedTuple):
    """What is kept of one request."""

    words: str
    """The first words of the prompt, on one line."""
    digests: Digests
    packed: bytes
    """The request, as `unpacked` reads it."""
    form: int
    """How it is packed: bit 0 compressed, bit 1 long texts cut."""


class Unpacked(NamedTuple):
    """A request as it was kept."""

    body: dict[str, Any]
    whole: bool
    """Whether nothing was cut."""


def described(call: Call) -> Description:
    """What is kept of *call*."""
    # Decoded already. A hop to another model may say parameters differently, but asks
    # the same.
    messages = call.prompt.params.get("messages")
    return description(call.body, messages, row=row_name(call))


def row_name(call: Call) -> str:
    """What the row of *call* is found by when it was edited."""
    prompt = call.prompt
    return prompt.id if prompt.has_own_id else f"{prompt.file}\0{prompt.line}\0{prompt.repeat}"


def description(body: bytes, messages: Any, *, row: str) -> Description:
    """What is kept of the request *body*, canonical JSON, with these *messages*, of a
    *row*.
    """
    turns = messages if isinstance(messages, list) else []
    # The last one may only hand over what a tool has found.
    words = next((text for one in reversed(turns) if (text := _first_text(one))), "")
    packed, form = _packed(body)
    return Description(
        " ".join(words[: MOST_WORDS * 4].split())[:MOST_WORDS].rstrip(),
        digests(turns, row=row),
        packed,
        form,
    )


def unpacked(packed: bytes, form: int) -> Unpacked:
    """The request in *packed*; raises `ValueError` where it is none."""
    if type(packed) is not bytes or type(form) is not int:
        raise InvalidJson("no bytes")
    try:
        # A planted one must not fill the memory.
        data = zlib.decompressobj().decompress(packed, _MOST_BYTES) if form & 1 else packed
    except zlib.error as error:
        raise InvalidJson("not compressed") from error
    body = decode(data)
    if not isinstance(body, dict):
        raise InvalidJson("no object")
    return Unpacked(body, not form & 2)


def digests(messages: Sequence[Any], *, row: str) -> Digests:
    """Those of some *messages* of a *row*."""
    text = "\n".join(_texts(messages[-1])) if messages else ""
    head, tail = text[: 2 * _EDGE].split(), text[-2 * _EDGE :].split()
    ends = text if len(text) <= 2 * _LOOSE else text[:_LOOSE] + text[-_LOOSE:]
    return Digests(
        messages=_digest(encode(messages)),
        before=_digest(encode(messages[:-1])) if len(messages) > 1 else 0,
        head=_digest(_bytes(" ".join(head)[:_EDGE])),
        tail=_digest(_bytes(" ".join(tail)[-_EDGE:])),
        loose=_digest(_bytes(ends.lower()).translate(None, _NO_LETTERS)),
        row=_digest(_bytes(row)),
    )


def _bytes(text: str) -> bytes:
    # Half of a pair of surrogates may stand at a cut.
    return text.encode(errors="replace")


def _digest(data: bytes) -> int:
    # Not a cryptographic one: what is found by it is compared in full, and it is made
    # five times for each answer.
    return zlib.crc32(data)


def cut(value: Any) -> Any:
    """*value* with its long texts as their two ends and a digest."""
    if isinstance(value, dict):
        return {name: cut(item) for name, item in value.items()}
    if isinstance(value, list):
        return [cut(item) for item in value]
    if not isinstance(value, str) or len(value) <= _LONG_TEXT:
        return value
    digest = hashlib.sha256(value.encode(errors="replace")).hexdigest()[:16]
    return (
        f"{value[:_CUT_HEAD]} … {len(value):,} characters, sha256 {digest} … {value[-_CUT_TAIL:]}"
    )


def _first_text(message: Any) -> str:
    return next((text for text in _texts(message) if text.strip()), "")


def _texts(message: Any) -> list[str]:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    return [
        block["text"]
        for block in content
        if isinstance(block, dict) and isinstance(block.get("text"), str)
    ]


def _packed(body: bytes) -> tuple[bytes, int]:
    form = 0
    # Else documents and images would fill the cache, and answers would be dropped.
    if len(body) > _WHOLE:
        body, form = encode(cut(decode(body))), 2
    if len(body) < _SMALL:
        return body, form
    return zlib.compress(body, 1), form | 1
