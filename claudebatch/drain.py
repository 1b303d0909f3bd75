"""One switch that stops every wait in the program."""

from __future__ import annotations

import asyncio

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


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
