"""The figures of docs/map.md are counted by rules that hold on small examples."""

from __future__ import annotations

import pytest

from tests.house import measure
from tests.house.files import PACKAGE, ROOT
from tests.house.measure import NOW, Mark, between, constants, figures


def test_numbers_with_a_name_are_constants_of_the_pace(tmp_path):
    (tmp_path / "a.py").write_text(
        "A = 1.5\nB: int = 2 * 60\nC = 'x'\nD = True\nE = f(1)\nG = -1\nclass H:\n    I = 3\n"
    )
    assert constants(tmp_path) == ["a.py:1", "a.py:2", "a.py:6"]


def test_a_walk_counts_each_file_once_from_the_first_mark_to_the_last():
    calls = ["a.py go", "b.py begin", "c.py x", "c.py y", "b.py x", "d.py end", "e.py x"]
    marks = Mark("b", "begin"), Mark("d", "end")
    assert between(calls, marks) == {"b.py", "c.py", "d.py"}


def test_a_walk_without_its_end_is_no_walk():
    with pytest.raises(StopIteration):
        between(["b.py begin"], (Mark("b", "begin"), Mark("d", "end")))


@pytest.mark.parametrize("text", ["cache_write_1h_tokens = 1", "usage['ephemeral_1h_input']"])
def test_the_one_hour_cache_write_is_seen_by_any_of_its_names(text, tmp_path):
    (tmp_path / "a.py").write_text(text)
    (tmp_path / "b.py").write_text("timeout = '1h'")
    assert [path.name for path in measure.naming_one_hour(tmp_path)] == ["a.py"]


def test_the_tree_shows_few_names():
    assert len(measure.top_level(PACKAGE)) <= 16


def test_no_import_is_counted_twice_and_none_is_missed():
    assert ("cli", "engine") in measure.arrows(PACKAGE)
    assert not any(own == other for own, other in measure.arrows(PACKAGE))


@pytest.mark.parametrize(
    ("kind", "walks"), [("row", (NOW.row, NOW.dollars)), ("429", (NOW.refused,))]
)
def test_the_marks_of_a_walk_are_met(kind, walks):
    calls = measure.walk(ROOT, kind)
    assert all(len(between(calls, marks)) > 10 for marks in walks)


def test_every_figure_has_a_name_and_a_value():
    assert all(value for value in figures(ROOT, walks=False).values())
