"""The table of a part's page: number, value, the failure that it prevents, and the test
that holds it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

_ROW = re.compile(
    r"^\| `([A-Z][A-Z0-9_]*)` \| ([^|]+) \| ([^|]+) \| `(test_\w+)` \|$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of it."""

    name: str
    value: float
    failure: str
    test: str


def rows(page: Path) -> list[Row]:
    """All lines of the table."""
    found = _ROW.findall(page.read_text())
    return [
        Row(name, float(value.replace(",", "")), failure.strip(), test)
        for name, value, failure, test in found
    ]


def named_tests(folder: Path) -> dict[str, list[Path]]:
    """The files that define each test by its name."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name, []).append(path)
    return found
