"""The one sanitiser of terminal output: what could steer a terminal or hide from the
eye is shown as an escape.

Ids, answers, API messages and file names come from strangers. Raw, they could move the
cursor, set the clipboard (OSC 52), forge a line of ours, or reorder a file name (bidi
controls). Data files keep the bytes exactly; only the screen passes through here.
"""

from __future__ import annotations

import re

from claudebatch.core.control_chars import HIDDEN

_EVERYTHING = re.compile(f"[{HIDDEN}]")
# For texts of several lines, such as a usage message, whose lines are ours.
_BUT_NEWLINES = re.compile(f"(?![\n\t])[{HIDDEN}]")
# As everybody writes them; the others by their number.
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


def visible(text: str, *, keep_newlines: bool = False) -> str:
    """*text* with every control or invisible character written out, like `\\x1b` or
    `\\u202e`.

    With *keep_newlines*, line feeds and tabs stay. A backslash stays single: this is
    for eyes, not for decoding.
    """
    # Nearly all text, and much faster than a search.
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
