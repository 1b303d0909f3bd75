"""The types of a section's settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints


@cache
def field_types(section: Any) -> Mapping[str, Any]:
    """By the name of each field of *section*, its type."""
    # Kept: each annotation is compiled for it, and a configuration asks for each
    # section several times.
    return get_type_hints(section)
