"""Names: each says one thing, once, and whatever has one is used."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict

from tests.house.files import PACKAGE, imports, name, python_files, tree
from tests.house.measure import used_twice

# File names that mean the same wherever they stand.
AGREED = {
    "__init__.py": "what a folder offers",
    "__main__.py": "what `python -m` runs",
    "layer.py": "the async shell of one of the seven layers",
    "settings.py": "a part's settings, typed",
    "store.py": "the protocol of a layer's store",
    "limiter.py": "the limiter of a pool, and the numbers of it",
    "concurrency.py": "the limit of requests in flight, and the numbers of it",
    "schema.py": "the tables of one database",
    "estimate.py": "the command, and the estimate that it prints",
    "rebuild.py": "the command, and a rebuild from the journal",
    "spend.py": "the command, and the report that it prints",
}
# Entry points, which nobody imports.
ENTRIES = {"claudebatch.__main__"}


def module(path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_a_class_name_exists_once():
    assert used_twice(PACKAGE) == []


def test_a_file_name_that_repeats_is_agreed_on():
    folders = defaultdict(list)
    for path in python_files("claudebatch"):
        folders[path.name].append(name(path.parent))
    repeated = {file: places for file, places in folders.items() if len(places) > 1}
    assert {file: places for file, places in repeated.items() if file not in AGREED} == {}


def test_no_name_is_agreed_on_in_vain():
    times = Counter(path.name for path in python_files("claudebatch"))
    assert [file for file in AGREED if times[file] == 0] == []


def test_every_module_has_an_importer():
    used = set(ENTRIES)
    for path in python_files("claudebatch"):
        used |= {target for target in imports(path) if target != module(path)}
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom):
                used |= {f"{node.module}.{alias.name}" for alias in node.names}
    # A folder is used as soon as anything in it is.
    used |= {target.rpartition(".")[0] for target in used if "." in target}
    assert [name(path) for path in python_files("claudebatch") if module(path) not in used] == []


def test_a_test_file_has_a_name_of_its_own():
    # pytest imports them by their bare names: of two alike, one is not collected.
    names = Counter(path.name for path in python_files("tests") if path.name.startswith("test_"))
    assert [file for file, times in names.items() if times > 1] == []
