"""Equal problems are said once, with the numbers of their lines."""

from __future__ import annotations

from claudebatch.core.errors import Problem
from claudebatch.inputs import BadLines
from claudebatch.ui.error_text import render_bad_rows

BAD = Problem("E000", "not JSON", "write JSON")
OTHER = Problem("E000", "no prompt", "write one")


def told(*lines: tuple[int, Problem]) -> list[str]:
    found = BadLines()
    for line, problem in lines:
        found.add("a.jsonl", line, [problem])
    assert found.count == len(lines)
    return render_bad_rows(found, beyond=found.more)


def test_lines_that_follow_each_other_are_a_range_and_others_are_listed():
    assert told((3, BAD)) == ["a.jsonl:3: E000 not JSON: write JSON"]
    assert told(*((n, BAD) for n in range(1, 52))) == ["a.jsonl:1-51: E000 not JSON: write JSON"]
    assert told((3, BAD), (4, BAD), (5, OTHER), (7, BAD)) == [
        "a.jsonl:3-4, 7: E000 not JSON: write JSON",
        "a.jsonl:5: E000 no prompt: write one",
    ]


def test_many_ranges_are_cut_and_the_rest_of_the_lines_counted():
    assert told(*((n, BAD) for n in range(1, 5000, 2))) == [
        "a.jsonl:1, 3, 5, 7, 9, 11 and 2,494 more: E000 not JSON: write JSON"
    ]


def test_a_million_different_problems_are_not_kept():
    lines = told(*((n, Problem("E000", f"bad {n}", "fix it")) for n in range(3000)))
    assert len(lines) == 21
    assert lines[-1] == "and 2,980 more problems"


def test_equal_problems_of_two_files_are_two():
    found = BadLines()
    found.add("a.jsonl", 1, [BAD, BAD])
    found.add("b.jsonl", 1, [BAD])
    assert render_bad_rows(found) == [
        "a.jsonl:1: E000 not JSON: write JSON",
        "b.jsonl:1: E000 not JSON: write JSON",
    ]


def test_the_command_of_a_problem_names_the_file():
    found = BadLines()
    found.add("no/a.jsonl", 1, [Problem("E000", "glued", "split them", "jq -c .")])
    assert render_bad_rows(found)[1] == "    jq -c . < no/a.jsonl > no/a-2.jsonl"
