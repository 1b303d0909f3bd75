"""One changed byte in a row, found by trying: the seal says which candidate is what was
written.

A seal has 128 bits, so no wrong candidate fits by chance. Nothing here needs a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from claudebatch.storage.journal.checksums import body_digest

Seal: TypeAlias = Callable[[Sequence[object]], bytes]
_BYTES = 8
_MOST_BYTES = 1 << 14
"""Longer texts are left to copies: every bit of them is tried, some microseconds each.
"""
_EVERY_VALUE_BELOW = 256
"""Of shorter ones every value of every byte."""


def corrected(fields: Sequence[object], seal: object, seal_of: Seal) -> list[object] | None:
    """*fields* with the one byte put right that makes *seal* theirs; None where it is
    not one byte.

    They are *fields* themselves where it is the seal that one byte was changed in.
    """
    if not isinstance(seal, bytes):
        return None
    candidate = list(fields)
    if one_byte_apart(_sealed(candidate, seal_of), seal):
        return candidate
    for place, value in enumerate(fields):
        for other in _others(value):
            candidate[place] = other
            if _sealed(candidate, seal_of) == seal:
                return candidate
        candidate[place] = value
    return None


def _sealed(fields: Sequence[object], seal_of: Seal) -> bytes:
    try:
        return seal_of(fields)
    except UnicodeEncodeError:  # what is no text was never sealed
        return b""


def corrected_body(body: object, digest: object) -> bytes | None:
    """*body* with the one byte put right that makes *digest* its own; None where it is
    not one byte.
    """
    if not isinstance(body, bytes):
        return None
    return next((other for other in _other_bytes(body) if body_digest(other) == digest), None)


def one_byte_apart(a: bytes, b: bytes) -> bool:
    """Whether *a* and *b* are equal but for one byte at most."""
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) <= 1


def _others(value: object) -> Iterator[object]:
    if isinstance(value, int):
        yield from _other_numbers(value)
    elif isinstance(value, bytes):
        yield from _other_bytes(value)
    elif isinstance(value, str):
        yield from _other_texts(value)


def _other_numbers(value: int) -> Iterator[int]:
    raw = value.to_bytes(_BYTES, "big", signed=True)
    for place in range(_BYTES):
        for byte in range(256):
            yield int.from_bytes(
                raw[:place] + bytes((byte,)) + raw[place + 1 :], "big", signed=True
            )


def _other_texts(value: str) -> Iterator[str]:
    for other in _other_bytes(value.encode("utf-8", "surrogateescape")):
        try:
            yield other.decode()
        except UnicodeDecodeError:
            continue


def _other_bytes(value: bytes) -> Iterator[bytes]:
    if len(value) > _MOST_BYTES:
        return
    changed = bytearray(value)
    every = len(value) < _EVERY_VALUE_BELOW
    for place, byte in enumerate(value):
        for other in range(256) if every else (byte ^ (1 << bit) for bit in range(8)):
            changed[place] = other
            yield bytes(changed)
        changed[place] = byte
