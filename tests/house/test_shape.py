"""How large a part may grow: classes in a file, lines in a function, values in a call,
and columns in prose.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess

import pytest

from tests.house.files import PACKAGE, ROOT, name, project_files, python_files, tree
from tests.house.test_bans import ruff

MOST_CLASSES = 3
MOST_LINES = 50
MOST_VALUES = 5
PROSE = 88
# Of the lines of the package. The least goes up with it, to 5.0.
COMMENTS_LEAST, COMMENTS_MOST = 5.0, 8.0

# Vocabulary: types without behaviour that are read side by side.
VOCABULARY = {
    "claudebatch/clients/senders/frames.py": "what a driver and its senders say",
    "claudebatch/config/sections.py": "the sections of the configuration file",
    "claudebatch/core/domain.py": "the words that all rooms share",
    "claudebatch/core/errors.py": "one tree of errors, each with its facts",
    "claudebatch/core/events.py": "the events that leave a run",
    "claudebatch/core/reports/": "what commands report, as data",
    "claudebatch/layers/rate_limit/store.py": "the protocol of the limiter's store",
    "claudebatch/storage/journal/records.py": "the records that the journal takes",
    "claudebatch/storage/journal/row_records.py": "the rows of the input's index",
}


def public_classes(path) -> list[str]:
    return [
        node.name
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def test_a_file_that_does_something_has_at_most_three_public_classes():
    crowded = {
        name(path): found
        for path in python_files("claudebatch")
        if len(found := public_classes(path)) > MOST_CLASSES
        if not name(path).startswith(tuple(VOCABULARY))
    }
    assert crowded == {}


def test_what_counts_as_vocabulary_is_still_there():
    assert [place for place in VOCABULARY if not (ROOT / place).exists()] == []


def functions(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(node) -> int:
    """From `def` to its last line, with signature and docstring: all that is read."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_no_function_is_longer_than_fifty_lines():
    """Of the package and the benchmarks: a long test is mostly the data it compares."""
    long = {
        f"{name(path)}: {node.name}": lines_of(node)
        for path in python_files("claudebatch", "benchmarks")
        for node in functions(path)
        if lines_of(node) > MOST_LINES
    }
    assert long == {}


def test_no_call_passes_more_than_five_values_by_position():
    calls = {
        f"{name(path)}: {ast.unparse(node.func)}": f"line {node.lineno}, {len(node.args)} values"
        for path in python_files("claudebatch")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and len(node.args) > MOST_VALUES
    }
    assert calls == {}


def wide_docs() -> list[str]:
    """Comments and docstrings wider than prose may be, as ruff finds them."""
    done = subprocess.run(
        [
            *(ruff(), "check", "--no-cache", "--select", "W505", "--output-format", "json"),
            *("--config", f"lint.pycodestyle.max-doc-length={PROSE}", "."),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return [
        f"{found['filename'].removeprefix(f'{ROOT}/')}:{found['location']['row']}"
        for found in json.loads(done.stdout)
    ]


def test_docstrings_and_comments_are_as_narrow_as_prose():
    assert wide_docs() == []


PAGES = [path for path in project_files() if path.suffix == ".md"]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_prose_on_a_page_is_at_most_88_columns_wide(path):
    """Tables, examples and single links are as wide as they are."""
    prose = re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    wide = [line for line in prose.splitlines() if len(line) > PROSE]
    assert [line for line in wide if not re.match(r"\||.*\]\(\S+\)\S*$", line)] == []


def test_comments_of_the_example_configuration_are_as_narrow():
    text = (ROOT / "config.example.yaml").read_text()
    assert [line for line in text.splitlines() if len(line) > PROSE] == []


def test_about_one_line_in_fifteen_says_why():
    """The package as a whole; a room of vocabulary may have fewer."""
    lines = [
        line.strip()
        for path in python_files(PACKAGE.name)
        for line in path.read_text().splitlines()
        if line.strip()
    ]
    comments = sum(line.startswith("#") for line in lines)
    assert COMMENTS_LEAST <= 100 * comments / len(lines) <= COMMENTS_MOST
