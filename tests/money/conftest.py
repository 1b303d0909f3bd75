"""Money is counted in the end-to-end tests' world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import api, processes, serve, world
from tests.e2e.world import World
from tests.money.judge import Judge

__all__ = ["api", "judge", "processes", "serve", "world"]


@pytest.fixture
def judge(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Judge]]:
    """Starts a `Judge` that passes for the real API, and points the world at it."""
    started: list[Judge] = []

    def start(**settings: Any) -> Judge:
        monkeypatch.setattr("claudebatch.simulator.http.MARK", b"")
        started.append(Judge(**settings))
        world.point_at(started[-1].url)
        return started[-1]

    yield start
    for each in started:
        each.close()
