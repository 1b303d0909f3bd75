"""A row of a table as the fields of a line: what its cells say, for columns that have
the names of a line's fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claudebatch.core.jsonl import InvalidJson, decode

# Fields whose value is a text; a cell of any other one is read as JSON.
_TEXTS = frozenset(
    {"id", "custom_id", "prompt", "input", "text", "question", "system", "model", "service_tier"}
)


# Of lines of other tools: lists and objects, too.
_OF_OTHERS = frozenset(
    {"body", "contents", "conversations", "modelInput", "request", "turns", "generationConfig"}
)


def as_fields(cells: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """*cells* by column, with those of *known* names as the values that they spell. An
    empty one is not given.
    """
    return {
        name: _value(cell) if name in known - _TEXTS or name in _OF_OTHERS else cell
        for name, cell in cells.items()
        if cell != "" or name not in known
    }


def _value(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return decode(cell.encode())
    except InvalidJson:
        # A text where a number is wanted: the check of its field says so.
        return cell
