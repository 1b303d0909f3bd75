"""docs/input-format.md says what is true: its examples print what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import Shell, alike, examples

PAGE = (Path(__file__).parents[2] / "docs/input-format.md").read_text()
EXAMPLES = list(examples(PAGE))


@pytest.fixture(scope="module")
def printed(shell: Shell) -> list[str]:
    """What each example prints, in the page's order and in one folder."""
    return [shell.run(example.command) for example in EXAMPLES]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_the_page_shows(number, printed, shell):
    home = shell.env["HOME"]
    assert alike(printed[number], home) == alike(EXAMPLES[number].output, home)
