"""Cancellation at every point where a coroutine can be cancelled, in both ways that it
can happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from typing import Any


class Cut:
    """Cancels what it runs at its *at*-th wait: while it waits or, *late*, in the
    moment its wait has come true.
    """

    def __init__(self, at: int, *, late: bool) -> None:
        self._at = at
        self._late = late
        # Mutable: the waits so far.
        self._waits = 0

    def __repr__(self) -> str:
        return f"cut {'after' if self._late else 'during'} wait {self._at}"

    @property
    def reached(self) -> bool:
        """Whether there were enough waits to cut."""
        return self._waits > self._at

    async def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """The result of *main*, or what it raised."""
        task = asyncio.ensure_future(_Steps(self, main))
        (result,) = await asyncio.gather(task, return_exceptions=True)
        return result

    def wait(self, waited_for: Any) -> None:
        """Called before each wait."""
        if self._waits == self._at:
            task = asyncio.current_task()
            assert task is not None
            if not self._late:
                task.cancel()
            elif waited_for is not None:
                # Registered before the task's own: it runs when the wait is over and
                # the task has not yet gone on.
                waited_for.add_done_callback(lambda done: task.cancel())
        self._waits += 1


class _Steps:
    def __init__(self, cut: Cut, main: Coroutine[Any, Any, Any]) -> None:
        self._cut = cut
        self._main = main

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self._main.send, None
        while True:
            try:
                waited_for = step(value)
            except StopIteration as stop:
                return stop.value
            self._cut.wait(waited_for)
            try:
                step, value = self._main.send, (yield waited_for)
            except BaseException as error:
                step, value = self._main.throw, error


def cuts() -> Iterator[Cut]:
    """One cut after the other, until what is run with them has no more waits."""
    for late in (False, True):
        at = 0
        while True:
            cut = Cut(at, late=late)
            yield cut
            if not cut.reached:
                break
            at += 1
            assert at < 1000, "it waits for ever"
