"""Time that jumps: an event loop whose clock moves to the next timer as soon as nothing
else is to be done.

180 prompts at 60 a minute take 179 seconds of this loop's time and no real one. Work in
threads takes no time here and timers do not wait for it, so tests in virtual time use
the memory stores of `tests.support.scripted`. Nor do they wait for bytes on their way
through a socket, unless that stands within `real_io`.
"""

from __future__ import annotations

import asyncio
import functools
import math
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")

_PATIENCE_S = 20.0
"""Real seconds that a thread may take to answer when no timer is set; nothing then
means that all wait for ever.
"""

_IO_PATIENCE_S = 3.0
"""Real seconds that bytes may take within `real_io`, before a timer is believed."""

_TURNS = 200
"""So many turns of the loop take a microsecond: who polls for a moment that floats
cannot tell from now gets there.
"""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._turns = 0
        self.held = 0
        """How many wait for bytes now."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            events = super().select(_PATIENCE_S)
            if not events:
                raise RuntimeError("every task waits, and nothing will ever wake one")
            return events
        events = super().select(_IO_PATIENCE_S if self.held and timeout > 0 else 0)
        if not events and timeout > 0:
            self._pass(timeout)
        self._turns += 1
        if self._turns >= _TURNS:
            self._pass(max(1e-6, 4 * math.ulp(self.seconds)))
        return events

    def _pass(self, seconds: float) -> None:
        self.seconds += seconds
        self._turns = 0


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that starts at 0 and never sleeps."""

    def __init__(self) -> None:
        self.jumping = _JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.jumping.seconds

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """From Python 3.12 on there is a limit to it, which would jump ahead of the
        threads.
        """
        await super().shutdown_default_executor()


@contextmanager
def real_io() -> Iterator[None]:
    """No time passes in here while bytes are on their way: a time-out that jumps ahead
    of them would end what works.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        yield
        return
    loop.jumping.held += 1
    try:
        yield
    finally:
        loop.jumping.held -= 1


async def in_no_thread(work: Callable[P, Result], *values: P.args, **named: P.kwargs) -> Result:
    """In the place of `asyncio.to_thread`: in virtual time timers do not wait for a
    thread.
    """
    return work(*values, **named)


def now() -> float:
    """The running loop's time: what the parts under test get as their clock."""
    return asyncio.get_running_loop().time()


def run_virtual(main: Coroutine[Any, Any, Result]) -> Result:
    """Run *main* to its end on a new `VirtualLoop`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def virtual(test: Callable[P, Coroutine[Any, Any, Result]]) -> Callable[P, Result]:
    """Make an async test run in virtual time; goes below `@given` and
    `@pytest.mark.parametrize`.
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> Result:
        return run_virtual(test(*args, **kwargs))

    return run


async def settled(turns: int = 50) -> None:
    """Let everything run that can run without any time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def cancelled(task: asyncio.Task[Any]) -> bool:
    """Cancel *task*, wait for its end, and say whether it ended by that."""
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a *coroutine* that must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("it waits, and must not")
