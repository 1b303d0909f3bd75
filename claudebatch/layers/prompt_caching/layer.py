"""Of rows that share a beginning one goes ahead, and the others read what it has
written.

Above budget and limiter: a row that waits holds no money and no place in the pace.
Below the retry: an attempt that fails hands the lead to the next row, while its own
waits for another try. Above the breaker, so that none of its probes waits here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from claudebatch.core.domain import Call, PromptTokens, Reply, Usage
from claudebatch.core.drain import Drain
from claudebatch.core.events import Emit
from claudebatch.core.handler import Handler
from claudebatch.core.notice import Notice
from claudebatch.core.resting import Resting
from claudebatch.layers.prompt_caching.asked_turn import Asks, CacheTurn, Wait
from claudebatch.layers.prompt_caching.beginning import Waiter
from claudebatch.layers.prompt_caching.cache_turns import Turns
from claudebatch.layers.prompt_caching.miss_cause import miss_cause
from claudebatch.layers.prompt_caching.own_marks import without_marks
from claudebatch.layers.prompt_caching.placed import Place, PlacedCall

# Rows that wait for another's answer let rows behind them be taken, so many for each
# that may be sent at once: as many as answers come in half the time to live of what
# they share. With more, a beginning would run out before most of its rows are read.
_FEWEST_AT_REST = 2.0
_AT_REST_AT_FIRST = 4.0
_OF_TTL = 0.5
# A connection may hang for the ten minutes that one attempt is given. So long a row may
# go ahead without an answer, or as many times as long as answers took to begin.
_PATIENCE_S = 60.0
_PATIENCE = 4.0
# The last answers that tell how long one takes.
_ANSWERS = 8


class _Gone(Exception):
    """What a call was to read may be gone: it was not sent."""


class PromptCaching:
    """Has each beginning written once, and shows by the answers that it is read."""

    def __init__(
        self,
        *,
        place: Place,
        waits: Drain,
        now: Callable[[], float],
        emit: Emit,
        resting: Resting | None = None,
        lane_of: Callable[[str], str] = str,
    ) -> None:
        """*place* says what is cached of a call; *resting* hears of rows that wait;
        *lane_of* a model.
        """
        self._place = place
        self._waits = waits
        self._now = now
        self._emit = emit
        self._resting = resting or Resting()
        self._lane_of = lane_of
        self._turns = Turns(ready=self._resting.over)
        # Mutable: the turns of calls under way, by row; whether it was said that a
        # cache does not work.
        self._under_way: dict[int, CacheTurn] = {}
        self._reported = False
        # Mutable, too: how long answers have taken of late, and to begin; 0: none has
        # come. And by row, the ends of patience with those that go ahead.
        self._answer_s = self._head_s = 0.0
        self._timers: dict[int, asyncio.TimerHandle] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The reply of the call with its marks, when its beginning is there."""
        placed = self._place(call)
        if placed.beginning is None:
            return await call_next(placed.call)
        asks = Asks(call.row, call.model, placed.chain, placed.ttl_s)
        while True:
            turn = await self._turn(call, asks)
            try:
                return await self._sent(placed, turn, call_next)
            except _Gone:
                continue

    def leaves(self, call: Call) -> None:
        """*call* has passed the layers below and is about to be sent; raises where what
        it was to read may be gone, so that it waits for its turn again.
        """
        turn = self._under_way.get(call.row)
        if turn is None:
            return
        if not self._turns.leaves(turn, self._now()):
            raise _Gone
        if turn.led:
            patience_s = max(_PATIENCE_S, _PATIENCE * (self._head_s or self._answer_s))
            loop = asyncio.get_running_loop()
            self._timers[call.row] = loop.call_later(patience_s, self._turns.late, turn)

    async def _turn(self, call: Call, asks: Asks) -> CacheTurn:
        rests = granted = False
        try:
            while True:
                turn = self._turns.turn(asks, self._now(), granted=granted)
                if isinstance(turn, CacheTurn):
                    return turn
                if turn.for_answer:
                    rests = self._rests(call, asks.ttl_s) or rests
                granted = await self._wait(turn, asks, Waiter(call.row, rests=rests))
        finally:
            if rests:
                self._resting.over(call.row)

    def _rests(self, call: Call, ttl_s: float) -> bool:
        """Give the worker's place of *call* to another row, which may be sent; returns
        whether it is at rest by that.
        """
        lane = self._lane_of(call.lane_as)
        most = _AT_REST_AT_FIRST
        if self._answer_s:
            most = max(_FEWEST_AT_REST, _OF_TTL * ttl_s / self._answer_s)
        if self._resting.places(lane) >= most * self._resting.slots(lane):
            return False
        return self._resting.begin(call.row, lane, len(call.body))

    async def _wait(self, wait: Wait, asks: Asks, waiter: Waiter) -> bool:
        """Stand in line; returns whether the call may be sent now."""
        wait.stand(waiter)
        try:
            await self._waits.until(waiter.called)
        except BaseException:
            wait.beginning.leave(waiter)
            self._turns.abandoned(asks, self._now(), granted=waiter.granted)
            raise
        return waiter.granted

    async def _sent(self, placed: PlacedCall, turn: CacheTurn, call_next: Handler) -> Reply:
        call = placed.call
        self._under_way[call.row] = turn
        reply = None
        try:
            reply = await call_next(self._dressed(placed, turn))
            self._answer_s = _mean(self._answer_s, reply.latency_ms / 1000)
            self._told(call, turn, _prompt_tokens(reply.usage))
        except BaseException:
            self._turns.failed(turn, self._now())
            raise
        finally:
            self._under_way.pop(call.row, None)
            self._no_longer_late(call)
            self._turns.done(turn, self._now())
            if turn.gave_up:
                self._report(call, reply)
        return reply

    def _dressed(self, placed: PlacedCall, turn: CacheTurn) -> Call:
        """The call as it is sent in its *turn*."""
        call = placed.call
        if len(turn.chain) < len(placed.chain):
            call = without_marks(call, keep=len(turn.chain))
        if turn.cached:
            # What is read does not count against input tokens per minute.
            expected = max(1, round(call.size.input_tokens - turn.cached))
            call = replace(call, size=replace(call.size, input_tokens=expected))
        if turn.led:
            # The others wait until it begins, and a stream shows that.
            return call.watched(_Head(lambda tokens: self._begins(placed.call, turn, tokens)))
        return call

    def _begins(self, call: Call, turn: CacheTurn, tokens: PromptTokens) -> None:
        if turn.left_at is not None:
            self._head_s = _mean(self._head_s, self._now() - turn.left_at)
        self._no_longer_late(call)
        self._told(call, turn, tokens)

    def _no_longer_late(self, call: Call) -> None:
        timer = self._timers.pop(call.row, None)
        if timer is not None:
            timer.cancel()

    def _told(self, call: Call, turn: CacheTurn, tokens: PromptTokens) -> None:
        self._turns.told(turn, tokens, estimated=call.size.input_tokens, now=self._now())

    def _report(self, call: Call, reply: Reply | None) -> None:
        if self._reported:
            return
        self._reported = True
        self._emit(
            Notice(
                "W110",
                f"{call.model} wrote what row {call.prompt.id} shares with others to its prompt "
                f"cache again and did not read it ({miss_cause(reply)}): such rows are sent "
                "without cache_control from now on",
            )
        )


def _mean(before: float, now: float) -> float:
    """The mean of the last ones, with one more."""
    return before + (now - before) / (_ANSWERS if before else 1)


def _prompt_tokens(usage: Usage) -> PromptTokens:
    return PromptTokens(
        usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens
    )


class _Head:
    """An `AnswerObserver` that passes on what is known as soon as an answer begins."""

    def __init__(self, told: Callable[[PromptTokens], None]) -> None:
        self._told = told

    def began(self, limits: object) -> None:
        """The head of the response came."""

    def read(self, prompt: PromptTokens) -> None:
        """The prompt is read: from now on its beginnings can be, too."""
        # Some gateways count at the end only.
        if prompt.total:
            self._told(prompt)

    def showed(self, size: int) -> None:
        """The answer has grown."""

    def hides(self) -> None:
        """It grows by thoughts."""
