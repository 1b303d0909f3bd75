"""What holds for all tests."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.e2e.processes import Zygote

# How long an example takes says something about the machine, not about us.
settings.register_profile("claudebatch", deadline=None)
# `--hypothesis-profile=long`: what the suite draws a few of, by the hundred.
settings.register_profile("long", deadline=None, max_examples=4000)
settings.load_profile("claudebatch")

# Half of a test's time is waiting, for processes and sockets: with one worker a core
# the whole takes a third longer.
_WORKERS_A_CORE = 2
# Each takes up to a gigabyte: some tests read lines of 40 MB.
_MOST_WORKERS = 8
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


# Optional: there are runs without the plugin that knows it (`tests/mutants`).
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many workers `-n auto` means."""
    # Some tests wait for a minute. Handed out beforehand, the last of them would stand
    # in one worker's line while the others have nothing left.
    if config.option.dist == "no":
        config.option.dist = "worksteal"
    return min(_WORKERS_A_CORE * (os.cpu_count() or 1), _MOST_WORKERS)


def pytest_collection_finish() -> None:
    """What is loaded stays loaded: not looked at again by each collection of garbage,
    which would take a twentieth of the time of all tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _children_hear_signals() -> None:
    """Processes that tests start have no signal switched off, even if the suite itself
    was started by `nohup`, or in the background of a script.

    A program inherits what is ignored, but not a handler: with one that does nothing
    the suite itself goes on ignoring.
    """
    for number in _STOPPING:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """`main`, called in this process, keeps its handler until the process ends."""
    before = {number: signal.getsignal(number) for number in _STOPPING}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Forks processes of claudebatch."""
    started = Zygote()
    yield started
    started.close()
