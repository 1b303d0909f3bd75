"""Every screen that is no error is as it was last looked at, and fits its terminal.

After a change: python -m tests.ui.screens, and look at the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.ui.screens.drawn import FOLDER, drawn
from tests.ui.screens.session import PAGE, page, recorded

FILES = sorted(path.name for path in FOLDER.glob("*.txt"))
# Words of the architecture, and words that were given up for others.
_NOT_ON_SCREENS = re.compile(
    r"\b(breaker|probe|drain|lane|dearest|mend|mended|finished before|in this session"
    r"|from earlier|0 cached|0 shared|0 failed|0 pending|0 retries|nobody|route"
    # The command, and what it looks at.
    r"|(?<!^  )shared(?! server))\b"
)


@pytest.fixture(scope="module")
def screens() -> dict[str, str]:
    return drawn()


def test_there_is_a_snapshot_of_every_screen(screens: dict[str, str]) -> None:
    assert sorted(screens) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_screen_is_as_it_was_looked_at(name: str, screens: dict[str, str]) -> None:
    assert screens[name] == (FOLDER / name).read_text()


def test_the_page_of_a_first_session_shows_what_is_printed() -> None:
    assert page(recorded()) == PAGE.read_text()


@pytest.mark.parametrize("name", [name for name in FILES if re.search(r"-\d+\.txt", name)])
def test_no_line_is_wider_than_its_terminal(name: str) -> None:
    width = int(name.partition("-")[2].removesuffix(".txt"))
    wide = [line for line in (FOLDER / name).read_text().splitlines() if len(line) > width]
    # What is to be copied stays whole; a heading is no line of a screen.
    assert [line for line in wide if not _whole(line)] == []


def _whole(line: str) -> bool:
    return (
        line.startswith("===")
        or " | claudebatch " in line
        or line.endswith("`")
        or len(line.split()) <= 2
    )


@pytest.mark.parametrize("path", [*(FOLDER / name for name in FILES), PAGE], ids=lambda p: p.name)
def test_screens_have_the_words_of_the_glossary(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [line for line in lines if _NOT_ON_SCREENS.search(line)] == []
