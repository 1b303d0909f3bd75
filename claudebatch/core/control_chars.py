"""Characters that control a terminal or are invisible, and their escapes in JSON."""

from __future__ import annotations

import re
from typing import Final

# Ranges instead of `unicodedata.category`, so that every Python version hides the same
# characters.
HIDDEN: Final = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: cursor, colours, clipboard, bell
    # soft hyphen, joiners, the Arabic mark, fillers: no width at all
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    # Mongolian selectors; zero-width space and joiners, direction marks
    "\u180b-\u180f\u200b-\u200f"
    # separators of lines and paragraphs; bidi embeddings, overrides and isolates
    "\u2028-\u202e\u2060-\u206f"
    # fillers, variation selectors, byte order mark, annotations
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\ud800-\udfff"  # lone surrogates: no encoder takes them, the write would fail
    # invisible controls; tags spell hidden text
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""The inside of a regular expression's character class."""

_IN_JSON = re.compile(f"(?!\n)[{HIDDEN}]")
_IN_TEXT = re.compile(f"(?![\n\t])[{HIDDEN}]")


def json_for_eyes(lines: bytes) -> bytes:
    r"""JSON *lines* with the same values, every hidden character as its escape, such as
    `\u202e`.
    """
    # Valid JSON has such characters inside strings only, where the escape means the
    # same character.
    text = lines.decode(errors="replace")
    return (text if text.isascii() and "\x7f" not in text else _IN_JSON.sub(_escape, text)).encode()


def text_for_eyes(data: bytes) -> bytes:
    r"""Lines of text as a terminal may show them: every hidden character but line feeds
    and tabs as an escape, such as `\u001b`.
    """
    return _IN_TEXT.sub(_escape, data.decode(errors="replace")).encode()


def _escape(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
