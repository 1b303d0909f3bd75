"""A client whose requests are sent by other processes, on this host or on others.

All that decides stays in the driver: what is sent, when, for how much, and what becomes
of it. A sender that dies is an attempt without an answer, as a broken connection is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from claudebatch.clients import error_table
from claudebatch.clients.protocol import Client
from claudebatch.clients.senders.crew import SenderCrew
from claudebatch.clients.senders.frames import Welcome
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
        here: Callable[[], Client],
        max_outage_s: float,
        now: Callable[[], float],
        notify: Callable[[Notice], None],
    ) -> None:
        """*here* makes a client of this process, for what is no row. *max_outage_s*:
        for so long a request waits for a sender.
        """
        self._start: Callable[[], SenderCrew] = partial(
            SenderCrew, places, welcome, max_outage_s=max_outage_s, now=now, notify=notify
        )
        self._connect = here
        # Mutable: the senders, and the client of this process, each made when there is
        # something for it to do.
        self._crew: SenderCrew | None = None
        self._own: Client | None = None

    @property
    def crew(self) -> SenderCrew:
        """The senders, which start when they are first asked for."""
        if self._crew is None:
            self._crew = self._start()
        return self._crew

    async def __call__(self, call: Call) -> Reply:
        """Have *call* sent once, as `ClaudeClient` does."""
        return await self._by_one(call, lambda sender: sender.answer(call))

    async def count(self, call: Call) -> int | None:
        """Input tokens of *call* as the API counts them; None where it cannot."""
        return await self._by_one(call, lambda sender: sender.count(call))

    async def objection(self, call: Call) -> str | None:
        """What the API has against the input of *call*; None: nothing."""
        # It is asked for batches, which leave from this process: where nothing goes by
        # itself no other one is started, and no cluster is joined.
        self._own = self._own or self._connect()
        return await self._own.objection(call)

    async def _by_one(self, call: Call, ask: Callable[[Sender], Awaitable[AnswerT]]) -> AnswerT:
        while True:
            sender = await self.crew.pick()
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
            if self.crew.unreached(sender):
                raise error_table.connection_failed(stop.message, sent=False) from stop
            raise
        except AttemptError as error:
            if error.status is None and error.unavailable:
                self.crew.unreached(sender)
            elif error.status is not None:
                self.crew.answered(sender)
            raise
        self.crew.answered(sender)
        return answer

    async def close(self) -> None:
        """End the senders, and let go of the API."""
        if self._crew is not None:
            await self._crew.close()
        if self._own is not None:
            await self._own.close()
