"""The numbers that steer a part of the program, found in its source.

A number is a module-level assignment of a literal to an upper-case name in one of the
part's `constants` modules. What is reckoned from other names is none: it moves with
them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = {"rate_limit": ROOT / "claudebatch" / "layers" / "rate_limit"}
"""What can be mutated."""
PAGES = {"rate_limit": ROOT / "docs" / "rate-limits.md"}
"""Where the table of a part stands."""
TESTS = {"rate_limit": ROOT / "tests" / "layers" / "rate_limit"}
"""Where its tests are."""


@dataclass(frozen=True, slots=True)
class Number:
    """One of them."""

    module: str
    name: str
    value: float

    def mutants(self) -> tuple[float, float]:
        """0.6 and 1.6 times as much; of a count, the nearest other ones."""
        if isinstance(self.value, int):
            return max(0, min(round(self.value * 0.6), self.value - 1)), max(
                round(self.value * 1.6), self.value + 1
            )
        return self.value * 0.6, self.value * 1.6


def numbers(part: Path) -> Iterator[Number]:
    """All of *part*, in the order of the source."""
    for path in sorted(part.rglob("*.py")):
        if is_constants(path):
            for name, value in assigned(ast.parse(path.read_text())):
                yield Number(module_name(path), name, value)


def is_constants(path: Path) -> bool:
    """Whether the numbers of a part may stand in it."""
    return "constants" in (path.stem, path.parent.name)


def module_name(path: Path) -> str:
    """As it is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def assigned(tree: ast.Module) -> Iterator[tuple[str, float]]:
    """Names and numbers that a module assigns."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets: list[ast.expr] = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        value = _literal(statement.value)
        if value is not None:
            yield from ((each.id, value) for each in targets if isinstance(each, ast.Name))


def _literal(node: ast.expr | None) -> float | None:
    if node is None or any(isinstance(part, ast.Name) for part in ast.walk(node)):
        return None
    try:
        value = eval(compile(ast.Expression(node), "<number>", "eval"), {"__builtins__": {}})
    except Exception:
        return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
