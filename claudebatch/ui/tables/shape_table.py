"""The list of named shapes, three lines each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from claudebatch.core.reports import ShapeLine
from claudebatch.ui.wrapping import COMMAND_INDENT


def render_shapes(shapes: Sequence[ShapeLine]) -> Iterator[str]:
    """Name and meaning of each, then a line of it as it can be copied."""
    width = max(len(shape.name) for shape in shapes)
    for shape in shapes:
        yield f"{shape.name:<{width}}  {shape.becomes}"
        yield f"{COMMAND_INDENT}{shape.looks}"
