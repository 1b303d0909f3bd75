"""docs/batches.md shows what is printed: every output on it stands in the snapshots of
the screens, which are drawn anew by their own tests; and every command exists.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from claudebatch.cli.account_batches import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/batches.md").read_text()
OUTPUTS = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SCREENS = "\n".join(path.read_text() for path in sorted((ROOT / "tests/ui/screens").glob("*.txt")))


def test_there_are_outputs() -> None:
    assert len(OUTPUTS) >= 3


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda text: text.strip()[:30])
def test_an_output_is_one_that_is_printed(output: str) -> None:
    assert output in SCREENS


def test_the_page_has_exactly_the_commands_that_there_are() -> None:
    told = set(re.findall(r"^\| `batches (\w+)", PAGE, re.MULTILINE))
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert told == commands
