"""Text that attacks a terminal, for every test of the display."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import hostile
from tests.support.hostile import HOSTILE


@pytest.fixture(scope="session")
def raw_controls() -> Callable[[str], list[str]]:
    """Gives the characters of a text that steer or hide and are none of our own
    sequences.
    """
    return hostile.raw_controls


@pytest.fixture(scope="session", name="hostile")
def every_hostile_text() -> tuple[str, ...]:
    """All hostile texts at once."""
    return HOSTILE


@pytest.fixture(params=HOSTILE, ids=[f"hostile-{number}" for number in range(len(HOSTILE))])
def hostile_text(request: pytest.FixtureRequest) -> str:
    """Each hostile text in turn."""
    return str(request.param)
