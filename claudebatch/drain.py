"""One switch that stops every wait in the program."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from claudebatch.errors import Draining


class Drain:
    """Once started, every `sleep` that waits or begins raises `Draining`; requests in flight are left alone."""

    def __init__(self) -> None:
        # Mutable state, changed by `start` only.
        self.reason: str | None = None
        self._sleepers: set[asyncio.Future[None]] = set()

    @property
    def started(self) -> bool:
        """Whether nothing new may be sent."""
        return self.reason is not None

    def start(self, reason: str) -> None:
        """Stop all waits, now and later. The first reason given is kept."""
        if self.reason is None:
            self.reason = reason
            for sleeper in tuple(self._sleepers):
                if not sleeper.done():
                    sleeper.set_exception(Draining(reason))

    def check(self) -> None:
        """Raise `Draining` once the drain has started."""
        if self.reason is not None:
            raise Draining(self.reason)

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds*; raises `Draining` at once when the drain starts or has started."""
        self.check()
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        self._sleepers.add(woken)
        timer = loop.call_later(seconds, _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()
            self._sleepers.discard(woken)

    async def guard(self, waiting: Awaitable[Any]) -> None:
        """Wait for *waiting*; when the drain starts or has started, cancel it and raise `Draining`."""
        task = asyncio.ensure_future(waiting)
        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(stopped)
        try:
            self.check()
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                stopped.result()
            await task
        finally:
            self._sleepers.discard(stopped)
            stopped.cancel()
            task.cancel()


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
