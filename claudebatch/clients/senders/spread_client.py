"""A client whose requests are sent by other processes, on this host or on others.

All that decides stays in the driver: what is sent, when, for how much, and what becomes
of it. A sender that dies is an attempt without an answer, as a broken connection is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from claudebatch.clients import error_table
from claudebatch.clients.senders.crew import SenderCrew
from claudebatch.clients.senders.frames import Welcome, What
from claudebatch.clients.senders.one_sender import Sender
from claudebatch.clients.senders.sender_link import LinkLost, SenderPlaces
from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import AttemptError, Unreachable
from claudebatch.core.notice import Notice

AnswerT = TypeVar("AnswerT")

# A sender keeps the deadline of each attempt itself; this is for one that hangs.
_SLACK_S = 15.0


class SpreadClient:
    """The innermost handler of a run with several processes. Make it inside a running
    event loop; close it when done.
    """

    def __init__(
        self,
        places: SenderPlaces,
        welcome: Welcome,
        *,
        now: Callable[[], float],
        notify: Callable[[Notice], None],
    ) -> None:
        self._crew = SenderCrew(places, welcome, now=now, notify=notify)

    async def __call__(self, call: Call) -> Reply:
        """Have *call* sent once, as `ClaudeClient` does."""
        return await self._by_one(call, lambda sender: sender.answer(call))

    async def count(self, call: Call) -> int | None:
        """Input tokens of *call* as the API counts them; None where it cannot."""
        counted = await self._asked("count", call)
        return counted if isinstance(counted, int) else None

    async def objection(self, call: Call) -> str | None:
        """What the API has against the input of *call*; None: nothing."""
        objection = await self._asked("objection", call)
        return objection if isinstance(objection, str) else None

    async def _asked(self, what: What, call: Call) -> int | str | None:
        return await self._by_one(call, lambda sender: sender.told(what, call))

    async def _by_one(self, call: Call, ask: Callable[[Sender], Awaitable[AnswerT]]) -> AnswerT:
        while True:
            sender = await self._crew.pick()
            try:
                return await self._by(sender, call, ask)
            except LinkLost:
                # It never left, and the next sender is as good.
                continue

    async def _by(
        self, sender: Sender, call: Call, ask: Callable[[Sender], Awaitable[AnswerT]]
    ) -> AnswerT:
        try:
            async with asyncio.timeout(call.deadline_s + _SLACK_S):
                answer = await ask(sender)
        except TimeoutError as error:
            raise error_table.timed_out(call.deadline_s) from error
        except Unreachable as stop:
            # One host without a way to the API does not stop the others.
            if self._crew.unreached(sender):
                raise error_table.connection_failed(stop.message, sent=False) from stop
            raise
        except AttemptError as error:
            if error.status is None and error.unavailable:
                self._crew.unreached(sender)
            elif error.status is not None:
                self._crew.answered(sender)
            raise
        self._crew.answered(sender)
        return answer

    async def close(self) -> None:
        """End the senders."""
        await self._crew.close()
