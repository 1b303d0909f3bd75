"""Lines of at most so many columns, broken between words: never inside one, and never
inside a command that is to be copied.
"""

from __future__ import annotations

import re
import shlex

from claudebatch.ui.tables.table import cell_width

# A command in backquotes is one word.
_WORD = re.compile(r"`[^`]*`\S*|\S+")


def wrapped(text: str, width: int, *, first: str = "", indent: str = "") -> list[str]:
    """*text* in lines of at most *width* columns (0: in one), the first after *first*,
    the others after *indent*. A longer word stays whole.
    """
    if not width or cell_width(first) + cell_width(text) <= width:
        return [(first + text).rstrip()]
    lines, line, empty = [], first, True
    for word in _WORD.findall(text):
        if empty:
            line, empty = line + word, False
        elif cell_width(line) + 1 + cell_width(word) > width:
            lines.append(line)
            line = indent + word
        else:
            line += " " + word
    return [*lines, line.rstrip()]


def wrapped_command(command: str, width: int, *, first: str = "", indent: str = "") -> list[str]:
    """*command* in lines of at most *width* columns (0: in one) that a shell reads as
    one: each but the last ends with a backslash.
    """
    if not width or cell_width(first) + cell_width(command) <= width:
        return [first + command]
    try:
        words = [shlex.quote(word) for word in shlex.split(command)]
    except ValueError:
        words = []
    # Of a pipe, or of an open quote, the words are not all there is to it.
    if " ".join(words) != command:
        return [first + command]
    lines, line = [], first + words[0]
    for option, *values in _with_values(words[1:]):
        part = " ".join((option, *values))
        if cell_width(line) + 1 + cell_width(part) + 2 > width:
            lines.append(line + " \\")
            line = indent + part
        else:
            line += " " + part
    return [*lines, line]


def _with_values(words: list[str]) -> list[list[str]]:
    """*words*, an option together with the word behind it."""
    parts: list[list[str]] = []
    for word in words:
        if parts and len(parts[-1]) == 1 and parts[-1][0].startswith("-") and word[0] != "-":
            parts[-1].append(word)
        else:
            parts.append([word])
    return parts
