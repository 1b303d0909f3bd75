"""The numbers that steer the limiter stand in their modules, each with a test; and the
limit of output tokens has one door.
"""

from __future__ import annotations

import ast
import itertools

from tests.house.files import PACKAGE, imports, name, python_files, tree
from tests.mutants.numbers import PAGES, PARTS, TESTS, assigned, is_constants, numbers
from tests.mutants.table import named_tests, rows

LIMITER = PARTS["rate_limit"]
FOUND = list(numbers(LIMITER))
ROWS = rows(PAGES["rate_limit"])
MOST = 44
PLAIN = {0, 1, 2, 60}
"""Nothing, one, half and twice, and the seconds of a minute steer nothing by
themselves.
"""
OUTPUT = "claudebatch.layers.rate_limit.output"


def test_every_number_stands_in_the_table_with_its_value():
    assert {(row.name, row.value) for row in ROWS} == {(each.name, each.value) for each in FOUND}


def test_there_are_half_as_many_as_there_once_were():
    assert len(FOUND) == len(ROWS) <= MOST


def test_every_number_names_one_failure_and_one_test_that_exists():
    existing = named_tests(TESTS["rate_limit"])
    assert {row.name: row.test for row in ROWS if len(existing.get(row.test, [])) != 1} == {}
    assert len({row.failure for row in ROWS}) == len(ROWS)


def test_every_number_carries_the_failure_that_it_prevents():
    bare = []
    for path in sorted(LIMITER.rglob("*.py")):
        if is_constants(path):
            lines = path.read_text().splitlines()
            bare += [
                line.split()[0]
                for above, line in itertools.pairwise(lines)
                if line.partition(" = ")[0] in {each.name for each in FOUND}
                and not above.startswith("#")
            ]
    assert bare == []


def test_no_number_steers_from_anywhere_else():
    found = []
    for path in sorted(LIMITER.rglob("*.py")):
        if not is_constants(path):
            found += [f"{name(path)}: {each}" for each, _ in assigned(tree(path))]
            found += [
                f"{name(path)}:{node.lineno}: {node.value}"
                for node in ast.walk(tree(path))
                if isinstance(node, ast.Constant)
                and isinstance(node.value, int | float)
                and node.value not in PLAIN
            ]
    assert found == []


def test_the_limit_of_output_tokens_has_one_door():
    inside = LIMITER / "output"
    ways_in = {
        module
        for path in python_files("claudebatch")
        if not path.is_relative_to(inside)
        for module in imports(path)
        if module.startswith(OUTPUT)
    }
    assert ways_in == {f"{OUTPUT}.output_limit"}
    taken = {
        alias.name
        for path in python_files(PACKAGE.name)
        if not path.is_relative_to(inside)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(OUTPUT)
        for alias in node.names
    }
    assert taken == {"OutputLimit", "OutputBooking"}
