"""An error says what is wrong and what to do, and no text from outside can pass for
ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from claudebatch.core.errors import ApiUnavailable, ConfigError, Problem
from claudebatch.ui.error_text import render_bad_rows, render_error


@dataclass(frozen=True)
class Found:
    file: str
    lines: str
    problem: Problem
    command: str | None = None


def test_an_error_has_its_fix_on_a_line_of_its_own() -> None:
    assert render_error(
        ConfigError("E000", 'a.yaml:3: unknown setting "modle"', fix='did you mean "model"?')
    ) == [
        'error[E000]: a.yaml:3: unknown setting "modle"',
        '  hint: did you mean "model"?',
    ]
    assert render_error(ApiUnavailable("E000", "the API does not answer")) == [
        "error[E000]: the API does not answer"
    ]


def test_a_message_of_many_lines_cannot_forge_one_of_ours(hostile: tuple[str, ...]) -> None:
    lines = render_error(ConfigError("E000", "".join(hostile), fix="a\nb"))
    assert lines[0].startswith("error[E000]: ")
    assert lines[-2:] == ["  hint: a", "        b"]
    assert all(line.startswith("       ") for line in lines[1:-2])


def test_errors_are_safe_to_print(
    hostile_text: str, raw_controls: Callable[[str], list[str]]
) -> None:
    lines = render_error(ConfigError("E000", hostile_text, fix=hostile_text))
    lines += render_bad_rows(
        [Found(hostile_text, "1", Problem("E000", hostile_text, hostile_text), hostile_text)]
    )
    assert raw_controls("\n".join(lines).replace("\t", "")) == []


def test_bad_rows_are_shown_one_problem_a_line() -> None:
    problem = Problem(
        "E000",
        '"max_tokens" must be a whole number above 0, got "many"',
        "write a number such as 1024",
    )
    mended = Problem("E000", "not JSON", "convert it", "jq -c .")
    assert render_bad_rows(
        [
            Found("prompts.jsonl", "17", problem),
            Found("prompts.jsonl", "18-20", mended, "jq -c . < a > b"),
        ]
    ) == [
        'prompts.jsonl:17: E000 "max_tokens" must be a whole number above 0, got "many": write a '
        "number such as 1024",
        "prompts.jsonl:18-20: E000 not JSON: convert it:",
        "    jq -c . < a > b",
    ]
    assert render_bad_rows([]) == []


def test_a_file_of_bad_rows_shows_twenty_and_counts_the_rest() -> None:
    def lines() -> Iterator[Found]:
        for number in range(100_000):
            yield Found("p.jsonl", str(number + 1), Problem("E000", f"bad {number}", "fix it"))

    found = render_bad_rows(lines(), beyond=1000)
    assert len(found) == 21
    assert found[-1] == "and 100,980 more problems"
