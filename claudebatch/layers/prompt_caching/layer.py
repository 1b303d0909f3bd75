"""Of rows that share a beginning one goes ahead, and the others read what it has
written.

Its answer is streamed, so that its beginning is seen. Where answers do not begin in
time, because nothing is streamed there or held back, a beginning of many rows is
written and tried by requests without output (`prewarm.py`), and no row has to wait for
a whole answer.

Above budget and limiter: a row that waits holds no money and no place in the pace.
Below the retry: an attempt that fails hands the lead to the next row, while its own
waits for another try. Above the breaker, so that none of its probes waits here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from claudebatch.core.domain import Call, PromptTokens, Reply, Usage
from claudebatch.core.drain import Drain
from claudebatch.core.errors import AttemptError, CircuitOpen
from claudebatch.core.events import Emit
from claudebatch.core.handler import Handler
from claudebatch.core.notice import Notice
from claudebatch.core.resting import Resting
from claudebatch.layers.prompt_caching.answer_times import AnswerTimes
from claudebatch.layers.prompt_caching.asked_turn import Asks, CacheTurn, Wait
from claudebatch.layers.prompt_caching.beginning import Waiter
from claudebatch.layers.prompt_caching.cache_turns import Turns
from claudebatch.layers.prompt_caching.miss_cause import MissQuestion, miss_cause
from claudebatch.layers.prompt_caching.own_marks import without_marks
from claudebatch.layers.prompt_caching.placed import Place, PlacedCall
from claudebatch.layers.prompt_caching.prewarm import prewarm

# Requests without output that may fail before none is sent any more.
_FAILED_PREWARMS = 2
# To write a beginning, and to show that it is read. A third one would be paid because
# rows wait for longer than the cache keeps it: then a row goes ahead itself.
_PREWARMS_A_ROW = 2
# The API's, and those of gateways, for a field that they do not know.
_REFUSED_FIELD = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)


class _Gone(Exception):
    """What a call was to read may be gone: it was not sent."""


class _Unasked(Exception):
    """What was refused may be the question in a call: it is sent without."""


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
        # Mutable, too: how long answers take, how many requests without output have
        # failed; what is asked about a cache that does not work; by row, the ends of
        # patience with those that go ahead.
        self._times = AnswerTimes()
        self._failed_prewarms = 0
        self._question = MissQuestion()
        self._timers: dict[int, asyncio.TimerHandle] = {}

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The reply of the call with its marks, when its beginning is there."""
        placed = self._place(call)
        if placed.beginning is None:
            return await call_next(placed.call)
        asks = Asks(call.row, call.model, placed.chain, placed.ttl_s)
        prewarms = 0
        while True:
            turn = await self._turn(call, asks)
            turn.beginning, turn.estimated = placed.beginning, call.size.input_tokens
            ahead = self._prewarm(placed, turn) if prewarms < _PREWARMS_A_ROW else None
            try:
                if ahead is None:
                    return await self._sent(placed, turn, call_next, watched=prewarms > 0)
                prewarms += 1
                await self._prewarmed(ahead, turn, call_next)
            except (_Gone, _Unasked):
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
            patience_s = self._times.patience_s()
            soon = turn.hurries and self._failed_prewarms < _FAILED_PREWARMS
            if soon:
                patience_s = min(patience_s, self._times.begins_within_s(turn.estimated))
            loop = asyncio.get_running_loop()
            self._timers[call.row] = loop.call_later(patience_s, self._late, turn, soon)

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
        most = self._times.most_at_rest(ttl_s)
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

    async def _sent(
        self, placed: PlacedCall, turn: CacheTurn, call_next: Handler, *, watched: bool
    ) -> Reply:
        call = self._dressed(placed, turn)
        # Before anything was read, one that writes would say nothing: the answer that
        # is late may not have begun, or the cache may not work.
        trusted = placed.rows and turn.led and self._turns.trusts(call.model)
        turn.hurries = bool(trusted and prewarm(call, placed.rows, requests=2))
        # After requests without output a stream shows whether it would begin in time.
        if turn.led or watched:
            # The others wait until it begins, and a stream shows that.
            call = call.watched(_Head(lambda tokens: self._begins(call, turn, tokens)))
        asking = None if turn.led else self._question.asked_in(call, placed.beginning)
        if asking is None:
            reply = await self._passed(call, turn, call_next)
        else:
            reply = await self._asked_why(asking, turn, call_next)
        took_s = reply.latency_ms / 1000
        self._times.ended(took_s)
        if turn.led or watched:
            self._times.watched(took_s, turn.head_s, tokens=turn.estimated)
        return reply

    async def _asked_why(self, call: Call, turn: CacheTurn, call_next: Handler) -> Reply:
        """The reply to *call*, which asks why its beginning is not read."""
        try:
            reply = await self._passed(call, turn, call_next)
        except BaseException as error:
            self._question.failed()
            if isinstance(error, AttemptError) and error.status in _REFUSED_FIELD:
                raise _Unasked from error
            raise
        cause = self._question.answered(reply)
        if cause is not None:
            about = f"what row {call.prompt.id} shares with others"
            self._emit(Notice("N110", f"why {call.model} did not read {about}: {cause}"))
        return reply

    async def _prewarmed(self, ahead: Call, turn: CacheTurn, call_next: Handler) -> None:
        """Have *ahead*, a request without output, write or try what *turn* leads."""
        try:
            reply = await self._passed(ahead, turn, call_next)
        except CircuitOpen:
            raise
        except AttemptError as error:
            # Its row goes ahead itself then, and meets whatever is wrong.
            self._failed_prewarms += 1 if error.retryable else _FAILED_PREWARMS
        else:
            # A gateway that writes an answer all the same has it paid for nothing.
            self._failed_prewarms += _FAILED_PREWARMS if reply.usage.output_tokens else 0

    def _prewarm(self, placed: PlacedCall, turn: CacheTurn) -> Call | None:
        """The request without output that goes ahead of the row's own; None: none
        does.
        """
        wanted = placed.rows and turn.led and self._times.late
        if not wanted or self._failed_prewarms >= _FAILED_PREWARMS:
            return None
        # What an answer has written is to be tried only.
        needed = 1 if turn.led == turn.probed else 2
        return prewarm(self._dressed(placed, turn), placed.rows, requests=needed)

    async def _passed(self, call: Call, turn: CacheTurn, call_next: Handler) -> Reply:
        self._under_way[call.row] = turn
        reply = None
        try:
            reply = await call_next(call)
            self._told(turn, _prompt_tokens(reply.usage))
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

    def _late(self, turn: CacheTurn, soon: bool) -> None:
        """The answer of *turn* has not begun; *soon*: it should have."""
        self._times.late = self._times.late or soon
        self._turns.late(turn)

    def _dressed(self, placed: PlacedCall, turn: CacheTurn) -> Call:
        """The call as it is sent in its *turn*."""
        call = placed.call
        if len(turn.chain) < len(placed.chain):
            call = without_marks(call, keep=len(turn.chain))
        if turn.cached:
            # What is read does not count against input tokens per minute.
            expected = max(1, round(call.size.input_tokens - turn.cached))
            call = replace(call, size=replace(call.size, input_tokens=expected))
        return call

    def _begins(self, call: Call, turn: CacheTurn, tokens: PromptTokens) -> None:
        if turn.left_at is not None:
            turn.head_s = self._now() - turn.left_at
            self._times.began(turn.head_s)
        self._no_longer_late(call)
        self._told(turn, tokens)

    def _no_longer_late(self, call: Call) -> None:
        timer = self._timers.pop(call.row, None)
        if timer is not None:
            timer.cancel()

    def _told(self, turn: CacheTurn, tokens: PromptTokens) -> None:
        self._turns.told(turn, tokens, estimated=turn.estimated, now=self._now())
        if turn.gave_up:
            self._question.about(turn.beginning)

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
