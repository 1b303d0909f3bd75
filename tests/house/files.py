"""The project's own files, whether it is a checkout or a plain copy of one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "claudebatch"
_NOT_OURS = {".git", ".venv", "build", "dist", "__pycache__", "node_modules"}


def ours(path: Path) -> bool:
    """Whether *path* is part of the project and no by-product of a tool."""
    parts = path.relative_to(ROOT).parts
    if any(part in _NOT_OURS or part.endswith((".claudebatch", ".egg-info")) for part in parts):
        return False
    hidden = parts[0].startswith(".") and parts[0] not in (".ci", ".gitignore")
    return not hidden and not path.name.endswith(".results.jsonl")


@cache
def project_files() -> tuple[Path, ...]:
    """Every file of the project, in order."""
    return tuple(sorted(path for path in ROOT.rglob("*") if path.is_file() and ours(path)))


def python_files(*folders: str) -> list[Path]:
    """The Python files below *folders*, or all of them."""
    starts = tuple(ROOT / folder for folder in folders) or (ROOT,)
    return [
        path
        for path in project_files()
        if path.suffix == ".py" and any(path.is_relative_to(s) for s in starts)
    ]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of *path*."""
    return ast.parse(path.read_text(), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that *path* imports, wherever in it: at the top, in a function, for
    types only.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def room(path: Path) -> str:
    """The room of the house that *path* belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name(path: Path) -> str:
    """*path* as it is shown."""
    return path.relative_to(ROOT).as_posix()
