"""Text that attacks a terminal, and what our own output may contain of such
characters.
"""

from __future__ import annotations

import re
import unicodedata

HOSTILE = (
    "\x1b[2J\x1b[1;1H",  # clear the screen, go home
    "\x1b]0;owned\x07",  # set the title
    "\x1b]52;c;cm0gLXJm\x1b\\",  # set the clipboard
    "\x1b]8;;http://evil.test\x1b\\click\x1b]8;;\x1b\\",  # a link that lies
    "\x1bP+q544e\x1b\\",  # DCS
    "\x9b31m\x9d0;x\x9c\x90q\x9c",  # CSI, OSC, DCS as single C1 characters
    "done\rerror",
    "abc\b\b\bxyz",
    "a\nerror: forged",
    "a\tb\x0bc\x0cd\x07\x00",
    "\x7f",
    "\u202eexe.txt\u202c",
    "\u2066a\u2067b\u2068c\u2069\u200e\u200f\u061c",
    "pay\u200bpal\u200c\u200d\u2060\ufeff\u00ad",
    "\u2028\u2029\x85",
    "\U000e0041\U000e0042",  # tags: invisible text
    "x\ufe0f\U000e0100",
    "\ud800 lone \udfff",
    "[/foo]",
    "[bold red]x[/]",
    "[link=http://evil.test]x[/link]",
    ":boom:",
)
_OURS = re.compile(r"\x1b\[[0-9;]*[mABCDGHJK]|\x1b\[\?25[lh]|\r\n|\r|\n")
"""Colours, cursor movements, hide and show the cursor, ends of lines."""


def raw_controls(written: str, ours: re.Pattern[str] = _OURS) -> list[str]:
    """The characters of *written* that steer or hide and are none of our own
    sequences.
    """
    rest = ours.sub("", written)
    return [
        c
        for c in rest
        if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or c in "\ufe0f\U000e0100"
    ]
