"""Bytes that are nearly right: what fuzz drills and fuzz tests feed on."""

from __future__ import annotations

import random
from collections.abc import Sequence

TOKENS: tuple[bytes, ...] = (
    b"\r\n",
    b"\n",
    b"\r",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\xff",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\xed\xa0\x80",
    b"\x1b[2J",
    b"-1",
    b"0",
    b"9" * 30,
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b": ",
    b"- ",
    b"&a",
    b"*a",
    b"!!python/object:os.system",
    b"<<",
    b"~",
    b"%s",
    b"../",
    b"[" * 600,
    b'{"a":' * 200,
)


def mutated(
    seed: bytes, rng: random.Random, *, tokens: Sequence[bytes] = TOKENS, front: int | None = None
) -> bytes:
    """*seed* with a few bytes changed, gone, doubled, moved or put in, or cut short.

    *front*: half of the changes go into so many bytes at the beginning, where one
    changes what all others mean.
    """
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        within = len(data) if front is None or rng.random() < 0.5 else min(len(data), front)
        at = rng.randrange(within + 1)
        to = min(len(data), at + rng.choice((1, 1, 2, 8, 60)))
        match rng.randrange(8):
            case 0:
                data[at:to] = rng.randbytes(to - at)
            case 1 | 2:
                data[at:to] = bytes(byte ^ (1 << rng.randrange(8)) for byte in data[at:to])
            case 3:
                del data[at:to]
            case 4:
                data[at:at] = data[at:to]
            case 5:
                data[at:to] = rng.choice(tokens)
            case 6:
                data[at:at] = rng.choice(tokens)
            case _:
                del data[at:]
    return bytes(data)
