"""The pages for whoever carries the project on name what exists, and stay short."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.house import measure

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "claudebatch"
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "design").glob("[0-9]*.md"))


def page(name: str) -> str:
    return (DOCS / name).read_text()


def exists(path: str) -> bool:
    """From the top, from the package, or, in a table of its tests, from the
    limiter's.
    """
    folders = (ROOT, PACKAGE, ROOT / "tests/layers/rate_limit")
    return any((folder / path).exists() for folder in folders)


@pytest.mark.parametrize("name", ["map.md", "how-to-add.md", "design.md", "rate-limits.md"])
def test_every_path_that_a_page_names_exists(name):
    paths = re.findall(r"`([a-z_]+/[\w./-]*)`", page(name))
    assert paths
    assert [path for path in paths if not exists(path)] == []


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below *heading*."""
    below = text.split(f"{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in table[0].splitlines()[2:]
    ]


def test_a_change_has_one_room_where_it_begins():
    changes = rows(page("map.md"), "## To change X, open Y")
    assert len(changes) >= 20
    for change, place in changes:
        first = re.match(r"\**`([\w/.]+)`", place)
        assert first is not None and exists(first[1]), change


def test_every_top_level_room_stands_in_the_tree_of_the_design():
    tree = page("design.md").split("## The tree", 1)[1]
    assert [
        name for name in measure.top_level(PACKAGE) if not re.search(rf"\b{name}\b", tree)
    ] == []


def test_the_design_is_read_in_twenty_minutes():
    assert len(page("design.md").split()) <= 1800


def test_decisions_are_numbered_without_a_gap():
    assert [path.name[:3] for path in DECISIONS] == [f"{n + 1:03d}" for n in range(len(DECISIONS))]
    assert all(path.read_text().startswith(f"# {path.name[:3]}. ") for path in DECISIONS)


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_reason_and_what_was_rejected(path):
    text = path.read_text()
    assert "**Why.**" in text
    assert re.search(r"^\*\*Rejected\.\*\*\n\n- \*", text, re.MULTILINE)
    assert f"]({path.name})" in (DOCS / "design/README.md").read_text()
    assert len(text.split()) <= 300


@cache
def identifiers() -> frozenset[str]:
    """Every name that the package defines or uses."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (getattr(node, field, None) for field in ("id", "attr", "name", "arg"))
            found |= {name for name in names if isinstance(name, str)}
    return frozenset(found)


@cache
def everything() -> str:
    """Code and pages, but for the glossary."""
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *PACKAGE.rglob("*.py")]
    text = " ".join(path.read_text() for path in pages if path.name != "glossary.md")
    return re.sub(r"[\s_-]+", " ", text).lower()


@pytest.mark.parametrize("term", [row[0] for row in rows(page("glossary.md"), "## Words in use")])
def test_a_term_of_the_glossary_is_in_use(term):
    assert term.replace("-", " ") in everything()


OLD = sorted(
    {
        name
        for old, _ in rows(page("glossary.md"), "## Words of 0.1.0")
        for name in re.findall(r"`(\w+)`|\"(\w+)\"", old)
        for name in name
        if name
    }
)


@pytest.mark.parametrize("name", OLD)
def test_an_old_word_is_no_name_any_more(name):
    assert name not in identifiers()
    assert f"_{name}" not in identifiers()


NEW = sorted(
    {
        name
        for _, new in rows(page("glossary.md"), "## Words of 0.1.0")
        for name in re.findall(r"`(\w+)`", new)
    }
)


@pytest.mark.parametrize("name", NEW)
def test_its_successor_is_one(name):
    assert name in identifiers()


def stated(column: int) -> dict[str, float]:
    figures = rows(page("map.md"), "## The house in figures")
    return {row[0]: float(row[column].split()[0]) for row in figures}


def test_the_house_is_no_worse_than_its_figures_say():
    real = measure.figures(ROOT, walks=False)
    after = stated(2)
    assert set(real) <= set(after)
    worse = {
        name: (value, after[name])
        for name, value in real.items()
        if name != "comment lines" and float(value.split()[0]) > after[name]
    }
    assert worse == {}
