"""Pages say what is true: the examples on each print what it shows, run in the page's
order and in one folder.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import sandbox
from tests.docs.console import alike, examples

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    "cache",
    "choosing-rows",
    "input-format",
    "inputs",
    "outputs",
    "prompt-caching",
    "recipes",
    "structured-answers",
    "templates",
)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_print_what_the_page_shows(page, tmp_path, stand_in_api, zygote):
    shell = sandbox.sandbox(tmp_path, stand_in_api, zygote)
    shown = list(examples((DOCS / f"{page}.md").read_text()))
    assert shown
    home = shell.env["HOME"]
    for example in shown:
        printed = shell.run(example.command)
        assert alike(printed, home) == alike(example.output, home), example.command
