"""A shape of line that can be named, as it is listed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShapeLine:
    """One line of `claudebatch shapes`."""

    name: str
    looks: str
    becomes: str
