"""Every place in the package that makes a message with an id, read from its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ID = re.compile(r"[EWN]\d{3}")
ERRORS = frozenset(
    {
        "AccountRefused",
        "ApiUnavailable",
        "ClaudebatchError",
        "CommandRefused",
        "ConfigError",
        "CredentialError",
        "JournalFailed",
        "LockedError",
        "OutputFailed",
        "SpendStopped",
        "StorageError",
        "Unreachable",
    }
)
MAKERS = ERRORS | {"BadValue", "Fault", "Notice", "Problem"}
"""The classes whose first argument is an id."""


@dataclass(frozen=True)
class Site:
    """One place where an id stands."""

    id: str
    where: str
    """File and line."""
    text: str
    """The message, `…` for what is filled in; empty where no message stands beside the
    id.
    """
    fix: str


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Each file of the package."""
    for path in sorted((ROOT / "claudebatch").rglob("*.py")):
        yield path, ast.parse(path.read_text())


def sites() -> list[Site]:
    """Each id with its message, in the order of the ids."""
    found = [site for path, tree in sources() for site in _of_file(path, tree)]
    return sorted(found, key=lambda site: (site.id, site.where))


def unnamed() -> list[str]:
    """Places that make a message without an id."""
    found = []
    for path, tree in sources():
        for call in _calls(tree):
            first = call.args[0] if call.args else None
            literal = isinstance(first, ast.Constant) and (
                first.value == "" or ID.fullmatch(str(first.value))
            )
            passed_on = isinstance(first, ast.Attribute) and first.attr == "id"
            if not (literal or passed_on):
                found.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    return found


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if named and node.func.id in MAKERS:
            yield node


def _of_file(path: Path, tree: ast.Module) -> Iterator[Site]:
    beside = _neighbours(tree)
    for scope, node in _constants(tree):
        if not ID.fullmatch(str(node.value)):
            continue
        message, fix = beside.get(node, (None, None))
        names = _assigned(scope, before=node.lineno)
        yield Site(
            str(node.value),
            f"{path.relative_to(ROOT)}:{node.lineno}",
            _words(message, names),
            _words(fix, names),
        )


def _neighbours(tree: ast.Module) -> dict[ast.AST, tuple[ast.AST | None, ast.AST | None]]:
    """What stands beside the first part of each call and pair: message and fix."""
    beside: dict[ast.AST, tuple[ast.AST | None, ast.AST | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            fix = next((word.value for word in node.keywords if word.arg == "fix"), None)
            more = [*node.args[1:], None, None]
            beside[node.args[0]] = more[0], fix or more[1]
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            beside[node.elts[0]] = node.elts[1], None
    return beside


def _constants(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.Constant]]:
    """Each constant, with the innermost function that holds it."""
    waiting: list[tuple[ast.AST, ast.AST]] = [(tree, tree)]
    while waiting:
        scope, node = waiting.pop()
        if isinstance(node, ast.Constant):
            yield scope, node
        scope = node if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else scope
        waiting += [(scope, child) for child in ast.iter_child_nodes(node)]


def _assigned(scope: ast.AST, *, before: int) -> dict[str, ast.AST]:
    """The texts that names stand for in a function: the last one before a line."""
    found: dict[str, tuple[int, ast.AST]] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, line = node.targets[0].id, node.lineno
            if line <= before and line >= found.get(name, (0, None))[0]:
                found[name] = line, node.value
    return {name: value for name, (_, value) in found.items()}


def _words(node: ast.AST | None, names: dict[str, ast.AST]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    if isinstance(node, ast.IfExp):
        return _words(node.body, names) or _words(node.orelse, names)
    if isinstance(node, ast.Name) and isinstance(
        names.get(node.id), ast.Constant | ast.JoinedStr | ast.IfExp
    ):
        return _words(names[node.id], names)
    return "" if node is None else "…"
