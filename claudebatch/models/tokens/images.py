"""The tokens of an image, from the size in its header. No image is ever decoded: a
decoder would be a door for hostile files.
"""

from __future__ import annotations

from binascii import Error, a2b_base64
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

from claudebatch.models.catalog import ModelFacts

# Edge in pixels of the square that counts as one token.
_PATCH = 28
# The other formats state their size within 30 bytes.
_HEADER_CHARS = 64
# The size of a JPEG follows its colour profile and thumbnail; beyond this many
# characters the model's maximum is assumed.
_JPEG_CHARS = 256 * 1024


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image's width and height."""

    width: int
    height: int


def image_tokens(source: Any, facts: ModelFacts) -> int:
    """Expected tokens of an image block's *source*; the model's maximum for unknown
    sizes.
    """
    data = (
        source.get("data") if isinstance(source, dict) and source.get("type") == "base64" else None
    )
    pixels = image_size(data) if isinstance(data, str) else None
    return facts.image_tokens_max if pixels is None else patches(pixels, facts)


def patches(image: Pixels, facts: ModelFacts) -> int:
    """Tokens of *image* after the API's scaling to the model's limits."""
    scale = min(1.0, facts.image_edge_max / max(image.width, image.height))
    area = image.width * image.height * scale * scale
    scale *= min(1.0, sqrt(facts.image_tokens_max * _PATCH * _PATCH / area))
    tokens = ceil(image.width * scale / _PATCH) * ceil(image.height * scale / _PATCH)
    return min(tokens, facts.image_tokens_max)


def image_size(data: str) -> Pixels | None:
    """The size in the header of a base64 PNG, GIF, WebP or JPEG; None for other data
    and impossible sizes.
    """
    head = _decode(data, _HEADER_CHARS)
    for magic, read in _READERS.items():
        if head.startswith(magic):
            try:
                size = read(_decode(data, _JPEG_CHARS) if read is _jpeg else head)
            # A header that is cut short: the model's maximum is the safe answer.
            except IndexError:
                return None
            return size if size is not None and size.width > 0 and size.height > 0 else None
    return None


def _decode(data: str, chars: int) -> bytes:
    try:
        return a2b_base64(data[:chars])
    except (Error, ValueError):
        return b""


def _png(head: bytes) -> Pixels | None:
    return Pixels(int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"))


def _gif(head: bytes) -> Pixels | None:
    return Pixels(int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"))


def _webp(head: bytes) -> Pixels | None:
    match head[12:16]:
        case b"VP8X":
            return Pixels(
                int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
            )
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return Pixels((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8 ":
            width, height = (
                int.from_bytes(head[26:28], "little"),
                int.from_bytes(head[28:30], "little"),
            )
            return Pixels(width & 0x3FFF, height & 0x3FFF)
    return None


def _jpeg(data: bytes) -> Pixels | None:
    """The size in the frame header, found by the stated lengths of the segments before
    it.
    """
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = data[at + 5 : at + 9]
            return Pixels(int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[:2], "big"))
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


_READERS: dict[bytes, Callable[[bytes], Pixels | None]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    b"RIFF": _webp,
    b"\xff\xd8": _jpeg,
}
