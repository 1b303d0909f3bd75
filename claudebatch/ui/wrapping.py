"""Lines of at most so many columns, broken between words: never inside one, and never
inside a command that is to be copied.
"""

from __future__ import annotations

import re
import shlex

from claudebatch.ui.tables.table import cell_width

COMMAND_INDENT = "    "
"""Begins a line that is a command; only such lines are indented so far."""

# A command in backquotes is one word, and so is an option with the value behind it:
# `--budget` alone at a line's end is not what is to be typed.
_WORD = re.compile(r"[(\"']?`[^`]*`\S*|--?[a-zA-Z][\w-]*(?: (?![-–·])\S+)?(?=\s|$)|\S+")


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


def broken(line: str, width: int) -> list[str]:
    """*line* in parts of at most *width* columns, each after the first indented; a
    longer word stays whole, and so does a command on a line of its own.
    """
    if line.startswith(COMMAND_INDENT):
        return [line]
    indent = " " * (len(line) - len(line.lstrip(" ")))
    return wrapped(line.lstrip(" "), width, first=indent, indent=indent + "  ")


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
