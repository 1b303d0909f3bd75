"""Numbers as something to look at: a bar a line, or one line of small columns."""

from __future__ import annotations

from collections.abc import Sequence

# Blocks of one to eight eighths: a bar of ten cells shows 80 steps.
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_COLUMNS = "▁▂▃▄▅▆▇█"
# For streams that cannot encode blocks, such as a Windows log in cp1252.
_PLAIN_COLUMNS = ".:-=+*#@"


def bar(part: int, whole: int, width: int, *, plain: bool = False) -> str:
    """*part* of *whole* as a bar of up to *width* cells; whatever is not nothing can be
    seen. *plain*: ASCII only.
    """
    if part <= 0 or whole <= 0:
        return ""
    # One eighth at least: the smallest spender must not look like none.
    eighths = max(1, min(part, whole) * width * 8 // whole)
    if plain:
        return "#" * max(1, eighths // 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def sparkline(values: Sequence[int], *, plain: bool = False) -> str:
    """One column for each of *values*, the highest as high as can be; nothing is a
    blank.
    """
    columns, most = _PLAIN_COLUMNS if plain else _COLUMNS, max(values, default=0)
    return "".join(" " if value <= 0 else columns[min(7, value * 8 // most)] for value in values)
