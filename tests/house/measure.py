"""The house in figures, for this tree or another checkout of it.

    python -m tests.house.measure [--tree PATH] [--static]

Everything is counted by the same rule in each tree, so that before and after can be
compared. The rules stand in `docs/map.md`; `--static` leaves the three walks out.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parents[2]
_WIDE = 100


@dataclass(frozen=True)
class Mark:
    """A function, and how the path of its file begins."""

    file: str
    function: str

    def fits(self, call: str) -> bool:
        """Whether *call* is of this function."""
        file, _, function = call.partition(" ")
        return file.startswith(self.file) and function == self.function


@dataclass(frozen=True)
class Tree:
    """Where the walks begin and end in one tree, and where the pace is decided."""

    pace: str
    row: tuple[Mark, Mark]
    dollars: tuple[Mark, Mark]
    refused: tuple[Mark, Mark]


NOW = Tree(
    pace="layers/rate_limit",
    row=(Mark("engine/", "_one"), Mark("storage/results_file", "append")),
    dollars=(Mark("core/message", "parse_message"), Mark("storage/ledger/writer", "_commit")),
    refused=(Mark("clients/error_table", "from_status"), Mark("clients/client", "_ask")),
)
BEFORE = Tree(
    pace="pace",
    row=(Mark("engine/", "_one"), Mark("stores/output", "append")),
    dollars=(Mark("messages", "parse_message"), Mark("stores/ledger/pen", "_commit")),
    refused=(Mark("clients/classify", "from_status"), Mark("clients/sdk", "_ask")),
)


def figures(root: Path, *, walks: bool = True) -> dict[str, str]:
    """Every figure of the tree at *root*, by name."""
    package = root / "claudebatch"
    tree = BEFORE if (package / "pace").is_dir() else NOW
    found = {
        "top-level names": str(len(top_level(package))),
        "rooms": str(len(rooms(package))),
        "arrows between top-level names": str(len(arrows(package))),
        "class names used twice": str(len(used_twice(package))),
        "files naming the one-hour cache write": str(len(naming_one_hour(package))),
        "constants of the pace": str(len(constants(package / tree.pace))),
        "lines over 100 columns": wide_lines(package),
        "comment lines": comment_lines(package),
    }
    if walks:
        row, refused = walk(root, "row"), walk(root, "429")
        for name, calls, marks in (
            ("a row passes", row, tree.row),
            ("its dollars pass", row, tree.dollars),
            ("a 429 passes", refused, tree.refused),
        ):
            files = between(calls, marks)
            found[f"files {name}"] = str(len(files))
            found[f"rooms {name}"] = str(len({_room(file) for file in files}))
    return found


def modules(package: Path) -> list[Path]:
    """Every module of the package."""
    return sorted(package.rglob("*.py"))


def top_level(package: Path) -> set[str]:
    """The rooms and loose modules that a reader of the folder sees first."""
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    return folders | {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}


def rooms(package: Path) -> set[str]:
    """Every package below the top, nested or not, and every loose module."""
    nested = {str(path.parent.relative_to(package)) for path in package.rglob("*/__init__.py")}
    return (nested - {"."}) | {path.stem for path in package.glob("*.py")} - {"__init__"}


def arrows(package: Path) -> set[tuple[str, str]]:
    """Which top-level name imports which."""
    found = set()
    for path in modules(package):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        for target in _imports(path):
            other = target.split(".")[1] if target.count(".") else ""
            if other and other != own and not other.startswith("__"):
                found.add((own, other))
    return found


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "claudebatch":
            names = [f"claudebatch.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (name for name in names if name.partition(".")[0] == "claudebatch")


def used_twice(package: Path) -> list[str]:
    """Names of classes that two modules define."""
    names = Counter(
        node.name
        for path in modules(package)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    )
    return sorted(name for name, times in names.items() if times > 1)


def naming_one_hour(package: Path) -> list[Path]:
    """Files that name the tokens written to the prompt cache for an hour."""
    return [path for path in modules(package) if _names_one_hour(path.read_text())]


def _names_one_hour(text: str) -> bool:
    return bool(re.search(r"\w*_1h\w*|1h_\w+", text))


def constants(folder: Path) -> list[str]:
    """Numbers with a name of their own at the top of a module."""
    return [
        f"{path.relative_to(folder)}:{node.lineno}"
        for path in modules(folder)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_number(node.value)
    ]


def _is_number(value: ast.expr | None) -> bool:
    """A literal, or a calculation with nothing but literals."""
    if value is None:
        return False
    leaves = [node for node in ast.walk(value) if not list(ast.iter_child_nodes(node))]
    plain = (ast.Constant, ast.operator, ast.unaryop)
    return all(isinstance(node, plain) for node in leaves) and all(
        isinstance(node.value, int | float) and not isinstance(node.value, bool)
        for node in leaves
        if isinstance(node, ast.Constant)
    )


def wide_lines(package: Path) -> str:
    """The share of lines, blank ones aside, that are wider than 100 columns."""
    lines = _lines(package)
    return f"{100 * sum(len(line) > _WIDE for line in lines) / len(lines):.1f} %"


def comment_lines(package: Path) -> str:
    """The share of lines, blank ones aside, that are comments and nothing else."""
    lines = _lines(package)
    return f"{100 * sum(line.lstrip().startswith('#') for line in lines) / len(lines):.1f} %"


def _lines(package: Path) -> list[str]:
    texts = (path.read_text().splitlines() for path in modules(package))
    return [line for text in texts for line in text if line.strip()]


def walk(root: Path, kind: str) -> list[str]:
    """The functions that ran in a run of one row, in order."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(_HERE / "tests/house/walk.py"), str(root), kind, folder],
            cwd=folder,
            env={"PATH": ""},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    return done.stdout.splitlines()


def between(calls: list[str], marks: tuple[Mark, Mark]) -> set[str]:
    """The files of the calls from the first mark to the next second one."""
    first, last = marks
    begin = next(i for i, call in enumerate(calls) if first.fits(call))
    end = next(i for i, call in enumerate(calls) if i > begin and last.fits(call))
    return {call.partition(" ")[0] for call in calls[begin : end + 1]}


def _room(file: str) -> str:
    """The folder of *file*, or the loose module itself."""
    return file.rpartition("/")[0] or file


def main() -> None:
    """Print the figures as a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tree", type=Path, default=_HERE, help="another checkout")
    parser.add_argument("--static", action="store_true", help="without the walks")
    given = parser.parse_args()
    for name, value in figures(given.tree.resolve(), walks=not given.static).items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
