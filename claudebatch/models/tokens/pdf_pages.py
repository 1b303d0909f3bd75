"""The pages of a PDF, counted without reading it: for estimates, not for bounds,
which a file that lies must not lower.
"""

from __future__ import annotations

import re
import zlib
from binascii import Error, a2b_base64
from itertools import islice

_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_PACKED = re.compile(rb"/Type\s*/ObjStm\b.{0,400}?stream\r?\n", re.DOTALL)
# A few kilobytes may unpack to gigabytes.
_MOST_UNPACKED = 4 << 20
# What follows a stream is copied with it.
_LONGEST_STREAM, _MOST_STREAMS = 1 << 18, 2_000


def pages_of(data: str) -> int:
    """How many pages a PDF in base64 shows; 0: none can be seen."""
    try:
        content = a2b_base64(data)
    except (Error, ValueError):
        return 0
    return len(_PAGE.findall(content)) + _packed_pages(content)


def _packed_pages(content: bytes) -> int:
    """The pages among objects that are kept compressed, as newer writers do."""
    pages, left = 0, _MOST_UNPACKED
    for found in islice(_PACKED.finditer(content), _MOST_STREAMS):
        stream = content[found.end() : found.end() + _LONGEST_STREAM]
        try:
            unpacked = zlib.decompressobj().decompress(stream, left)
        except zlib.error:
            continue
        pages += len(_PAGE.findall(unpacked))
        left -= len(unpacked)
        if left <= 0:
            break
    return pages
