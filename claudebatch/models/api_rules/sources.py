"""What images and documents are made of: base64 that is some, of the declared kind."""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Sequence
from typing import Any

from claudebatch.core.errors import Problem
from claudebatch.models.api_rules.walk import Placed
from claudebatch.models.api_rules.wording import shown

# Characters that make up the first bytes of every kind below: 18 of them.
_HEAD = 24


def sources(placed: Sequence[Placed]) -> Iterator[Problem]:
    """Sources in base64 that cannot be read, and images of another kind than they
    say.
    """
    for where, _, block, _ in placed:
        source = block.get("source")
        if type(source) is dict and source.get("type") == "base64":
            yield from _base64(f"{where}.source", source)


def _base64(where: str, source: dict[str, Any]) -> Iterator[Problem]:
    data, declared = source.get("data"), source.get("media_type")
    if type(data) is not str:
        return
    if not data:
        yield Problem("E410", f'"{where}.data" is empty', "put the file in, as base64")
        return
    # `base64` of the command line breaks its lines.
    text = "".join(data.split()) if not data.isalnum() else data
    try:
        binascii.a2b_base64(text.encode(), strict_mode=True)
    except (ValueError, binascii.Error):
        yield Problem(
            "E411",
            f'"{where}.data" is not base64: {shown(data[:_HEAD])}',
            "encode the file's bytes with the standard alphabet, with its padding, and without "
            "a data: prefix",
        )
        return
    if type(declared) is str and declared.startswith("image/"):
        actual = image_type(binascii.a2b_base64(text[:_HEAD]))
        if actual is None:
            yield Problem(
                "E412",
                f'"{where}.data" is not a JPEG, PNG, GIF or WebP',
                "send one of these; the API reads no other images",
            )
        elif actual != declared:
            yield Problem(
                "E413",
                f'"{where}.media_type" is {declared}, but the data is {actual}',
                f'write "{actual}"',
            )


def image_type(head: bytes) -> str | None:
    """The media type that the first bytes of a file show."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return None
