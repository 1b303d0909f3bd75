"""The shapes of lines that `--shape` can name."""

from __future__ import annotations

from claudebatch.core.reports import ShapeLine
from claudebatch.inputs.named_shapes import SHAPES


def listed_shapes() -> tuple[ShapeLine, ...]:
    """All of them, by name."""
    lines = (ShapeLine(shape.name, shape.looks, shape.becomes) for shape in SHAPES)
    return tuple(sorted(lines, key=lambda line: line.name))
