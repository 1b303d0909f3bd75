"""The attacks happen in the end-to-end tests' world."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import api, processes, serve, world
from tests.security.stranger import Stranger

__all__ = ["api", "processes", "serve", "stranger", "world"]


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    """A server that means no good."""
    started = Stranger()
    yield started
    started.close()
