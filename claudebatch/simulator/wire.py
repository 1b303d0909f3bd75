"""JSON for the simulator: strict, fast, and its only module with msgspec."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, TypeAlias

import msgspec

Body: TypeAlias = dict[str, Any]

_encoder = msgspec.json.Encoder()
# Sorted keys: two clients that order them differently ask the same question.
_sorting = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder()


class NotJson(ValueError):
    """The bytes are not valid JSON."""


def encode(value: object) -> bytes:
    """*value* as compact JSON on one line."""
    return _encoder.encode(value)


def canonical(value: object) -> bytes:
    """*value* as JSON with sorted keys: equal values, equal bytes."""
    return _sorting.encode(value)


def decode(data: bytes) -> Any:
    """The value of *data*; raises `NotJson`."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotJson(str(error)) from error


def digest(data: bytes, *, seed: int = 0) -> bytes:
    """A hash of *data*, 16 bytes long; another *seed* gives another hash."""
    return blake2b(
        data, digest_size=16, key=seed.to_bytes(16, "big", signed=True) if seed else b""
    ).digest()
