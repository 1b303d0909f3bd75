"""One sender, as its driver sees it."""

from __future__ import annotations

import asyncio
from typing import Any

from claudebatch.clients.senders.error_facts import error_of
from claudebatch.clients.senders.frames import (
    Alive,
    Answered,
    BadFrame,
    CalledOff,
    Errored,
    Ready,
    Seen,
    Told,
    ToSender,
    Welcome,
    What,
    ask,
    frame,
    to_driver,
)
from claudebatch.clients.senders.sender_link import BEAT_S, SILENT_S, FrameLink, LinkLost
from claudebatch.core.domain import AnswerObserver, Call, Reply
from claudebatch.core.errors import AttemptError


class Sender:
    """Hands requests to one sender, and its answers to those who wait for them."""

    def __init__(self, link: FrameLink) -> None:
        self._link = link
        # Mutable: the requests under way, with who waits for them and who watches;
        # the last number; the next beat; and whether it is gone.
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._watching: dict[int, AnswerObserver] = {}
        self._last = 0
        self._beat: asyncio.TimerHandle | None = None
        self._lost: str | None = None
        # Mutable: set by the client. Attempts in a row that reached nobody, and the
        # moment until which others are asked first.
        self.unreached = 0
        self.passed_over_until = float("-inf")
        self.has_answered = False
        # Mutable: set once, when it is gone: the requests that were under way.
        self.lost_in_flight = 0

    @property
    def gone(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self._lost is not None

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._waiting)

    async def welcome(self, welcome: Welcome) -> None:
        """Make it ready; raises what keeps it from it, `LinkLost` where it is gone."""
        self._put(welcome)
        while True:
            match await self._next():
                case Ready():
                    break
                case Errored() as refusal:
                    raise error_of(refusal)
                case _:
                    continue
        self._beats()

    async def answer(self, call: Call) -> Reply:
        """Its answer to *call*. An `AttemptError` says that it was lost on the way,
        `LinkLost` that it never left.
        """
        return await self._asked("answer", call)  # type: ignore[no-any-return]

    async def count(self, call: Call) -> int | None:
        """What a count of *call* came to; raises as above."""
        return await self._asked("count", call)  # type: ignore[no-any-return]

    async def _asked(self, what: What, call: Call) -> Any:
        if self._lost is not None:
            raise LinkLost(self._lost)
        self._last += 1
        number = self._last
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            self._put(ask(number, what, call))
        except LinkLost as error:
            # The reading side comes to the same end a moment later.
            self._lost = str(error)
            raise
        self._waiting[number] = waiting
        if call.watch is not None:
            self._watching[number] = call.watch
        try:
            return await waiting
        except BaseException:
            if number in self._waiting and self._lost is None:
                self._call_off(number)
            raise
        finally:
            self._waiting.pop(number, None)
            self._watching.pop(number, None)

    def _call_off(self, number: int) -> None:
        try:
            self._put(CalledOff(number))
        except LinkLost:
            # Then nobody sends it either.
            return

    async def listen(self) -> str:
        """Hand its words on until it is gone; returns why. What is under way then may
        be billed.
        """
        try:
            while True:
                self._take(await self._next())
        except LinkLost as error:
            self._lost = str(error)
        finally:
            self._lost = self._lost or "the run is over"
            self.lost_in_flight = len(self._waiting)
            for waiting in list(self._waiting.values()):
                if not waiting.done():
                    waiting.set_exception(_no_answer(self._lost))
            await self.close()
        return self._lost

    async def close(self) -> None:
        """End it."""
        if self._beat is not None:
            self._beat.cancel()
        await self._link.close()

    async def _next(self) -> Alive | Answered | Ready | Errored | Seen | Told:
        try:
            async with asyncio.timeout(SILENT_S):
                return to_driver(await self._link.get())
        except TimeoutError as error:
            raise LinkLost(f"silent for {SILENT_S:.0f} s") from error
        except BadFrame as error:
            raise LinkLost(f"it says what cannot be read: {error}") from error

    def _take(self, word: Alive | Answered | Ready | Errored | Seen | Told) -> None:
        match word:
            case Answered(number=number, reply=reply):
                self._end(number, reply)
            case Told(number=number, value=value):
                self._end(number, value)
            case Errored(number=number) as refusal:
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_exception(error_of(refusal))
            case Seen(number=number) as seen:
                if number in self._watching:
                    _show(self._watching[number], seen)
            case Ready() | Alive():
                pass

    def _end(self, number: int, value: Reply | int | None) -> None:
        # Nobody waits for what was called off.
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(value)

    def _beats(self) -> None:
        try:
            self._put(Alive())
        except LinkLost:
            return
        self._beat = asyncio.get_running_loop().call_later(BEAT_S, self._beats)

    def _put(self, word: ToSender) -> None:
        self._link.put(frame(word))


def _no_answer(why: str) -> AttemptError:
    """An attempt whose sender is gone: it may have been sent by then."""
    # Not `unavailable`: the model is not at fault, and a breaker that opens for a
    # killed process would stop the others. It counts as a try of its row, so a row that
    # kills its senders comes to an end.
    return AttemptError(
        f"no answer: the process that was to send it is gone ({why})",
        type="connection_error",
        retryable=True,
        may_be_billed=True,
    )


def _show(watch: AnswerObserver, seen: Seen) -> None:
    if seen.began:
        watch.began(seen.limits)
    if seen.read is not None:
        watch.read(seen.read)
    if seen.size:
        watch.showed(seen.size)
    if seen.hides:
        watch.hides()
