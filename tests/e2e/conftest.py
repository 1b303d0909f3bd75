"""The fixtures of the end-to-end tests; world.py says what they give."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import Served, World, Zygote
from tests.support.sdk_types import check_body


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> World:
    """A world without processes."""
    return World(tmp_path, monkeypatch, capfd, None)


@pytest.fixture
def processes(world: World, zygote: Zygote) -> Iterator[World]:
    """The world, able to launch processes."""
    world._zygote = zygote
    yield world
    for process in world.processes:
        process.send(signal.SIGKILL)


@pytest.fixture
def serve(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Starts the simulated API and points the world at it.

    It passes for the real one: without the header that marks its answers (`marked`)
    they enter cache and ledger. Afterwards every body that it was sent is held against
    the SDK's own parameter types.
    """
    started: list[Served] = []

    def start(*, marked: bool = False, **settings: Any) -> Served:
        if not marked:
            monkeypatch.setattr("claudebatch.simulator.http.MARK", b"")
        served = Served(**settings)
        started.append(served)
        world.point_at(served.url)
        return served

    yield start
    for served in started:
        served.close()
        for body in served.bodies:
            # How an answer is to come is the client's own addition: true, or nothing.
            check_body({name: it for name, it in body.items() if (name, it) != ("stream", True)})


@pytest.fixture
def api(serve: Callable[..., Served]) -> Served:
    """A simulated API at which nothing goes wrong."""
    return serve()
