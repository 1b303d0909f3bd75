"""The one sanitiser of terminal output: what could steer a terminal or hide from the eye is shown as an escape.

Ids, answers, API messages and file names come from strangers. Raw, they could move the cursor, set the clipboard
(OSC 52), forge a line of ours, or reorder a file name (bidi controls). Data files keep the bytes exactly; only the
screen passes through here.
"""

from __future__ import annotations

import re

# Ranges instead of `unicodedata.category`, so that every Python version hides the same characters.
_HIDDEN = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: cursor, colours, clipboard, bell
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"  # soft hyphen, joiners, the Arabic mark, fillers: no width at all
    "\u180b-\u180f\u200b-\u200f"  # Mongolian selectors; zero-width space and joiners, direction marks
    "\u2028-\u202e\u2060-\u206f"  # separators of lines and paragraphs; bidi embeddings, overrides and isolates
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"  # fillers, variation selectors, byte order mark, annotations
    "\ud800-\udfff"  # lone surrogates: no encoder takes them, the write would fail
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # invisible controls; tags spell hidden text
)
_EVERYTHING = re.compile(f"[{_HIDDEN}]")
_BUT_NEWLINES = re.compile(f"(?![\n\t])[{_HIDDEN}]")
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


def visible(text: str, *, keep_newlines: bool = False) -> str:
    """*text* with every control or invisible character written out, like `\\x1b` or `\\u202e`.

    With *keep_newlines*, line feeds and tabs stay. A backslash stays single: this is for eyes, not for decoding.
    """
    if text.isascii() and text.isprintable():
        return text
    return (_BUT_NEWLINES if keep_newlines else _EVERYTHING).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
