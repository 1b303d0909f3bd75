"""A pool whose limits all hosts share: its state stands at the shared server, and each
decision is a script there, by the server's clock.

One script admits, one ends. The pace is that of plain token buckets of one second,
with first come, first served over all users, a gentle start, and one probe at a time
after a 429; answers are not watched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import cast

from claudebatch.core.domain import Usage
from claudebatch.core.errors import LimitKind
from claudebatch.core.events import WaitReason
from claudebatch.core.frozen import value
from claudebatch.core.limit_headers import Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.concurrency import ConcurrencyLimit
from claudebatch.layers.rate_limit.constants.bucket import CLUMP_S, LARGEST_BUCKET_S
from claudebatch.layers.rate_limit.constants.concurrency import OLD_ANSWERS_S, USED_SHARE
from claudebatch.layers.rate_limit.constants.limiter import (
    DOUBLING_S,
    FIRST_AT_ONCE,
    FIRST_PER_S,
    PROBE_GAP_S,
    UNKNOWN_LIMITS_GAP_S,
)
from claudebatch.layers.rate_limit.store import (
    Admitted,
    Delayed,
    PoolStart,
    PoolState,
    RefusalBlame,
    Refused,
)
from claudebatch.storage.shared_server.carried_out import carried_out
from claudebatch.storage.shared_server.redis_server import ScriptServer, ServerAway, Value
from claudebatch.storage.shared_server.script import Script
from claudebatch.storage.shared_server.times import AGAIN_S, LEASE_S

_FOLDER = Path(__file__).with_name("lua")
_NUMBERS = {
    "CLUMP_S": CLUMP_S,
    "DOUBLING_S": DOUBLING_S,
    "FIRST_AT_ONCE": FIRST_AT_ONCE,
    "FIRST_PER_S": FIRST_PER_S,
    "OLD_ANSWERS_S": OLD_ANSWERS_S,
    "PROBE_GAP_S": PROBE_GAP_S,
    "UNKNOWN_LIMITS_GAP_S": UNKNOWN_LIMITS_GAP_S,
    "USED_SHARE": USED_SHARE,
}
_ADMIT = Script.read(_FOLDER, "pool.lua", "admit.lua", numbers=_NUMBERS)
_FINISH = Script.read(_FOLDER, "pool.lua", "finish.lua", numbers=_NUMBERS)


@value
class _EndToTell:
    """The end of an attempt, to be told to the server once."""

    counted: tuple[Value, ...]
    """How it ended, its booking, its tokens, and the limits that its answer stated."""
    refusal: tuple[Value, Value, Value]
    """Seconds, kind and bareness of a 429."""


class RedisPool:
    """One process's hand in a pool of all hosts: a `LimiterStore`.

    While the server is away nothing is admitted, and what has ended is told to it when
    it is back.
    """

    def __init__(self, server: ScriptServer, start: PoolStart, *, now: Callable[[], float]) -> None:
        self.name = start.name
        self._server = server
        self._now = now
        place = f"{server.prefix}:limits:{start.name}"
        self._keys = [place, *(f"{place}:{part}" for part in ("booked", "leases", "line", "needs"))]
        chosen = start.allowance
        rates = requests, input_tokens, output_tokens = (
            chosen.requests_per_minute,
            chosen.input_tokens_per_minute,
            chosen.output_tokens_per_minute,
        )
        self._start: list[Value] = [
            start.most_in_flight,
            int(start.cautious),
            *(_text(rate * start.share if rate else None) for rate in rates),
        ]
        self._share: list[Value] = [
            _text(start.share),
            *(_text(rate if start.ceiling else None) for rate in rates),
        ]
        # Workers are made for so many: they grow with use, whatever all may have.
        self._own = ConcurrencyLimit(start.in_flight, start.most_in_flight)
        # Mutable: numbers of bookings; endings that the server has not heard of; the
        # state that it told last.
        self._numbers = count()
        self._unheard: deque[_EndToTell] = deque()
        self._state = PoolState(requests, input_tokens, output_tokens, start.in_flight)

    async def admit(self, need: ExpectedUsage) -> Admitted[str] | Delayed:
        """Take all that an attempt needs, or nothing and say when to ask again."""
        if (seconds := self._own.wait(self._now())) > 0:
            return Delayed(min(seconds, LARGEST_BUCKET_S), "requests in flight", self.state)
        # Named here and not there: asked for again after a lost answer, it is the same.
        booking = f"{self._server.client}.{next(self._numbers)}"
        verdict, delay, why = await carried_out(
            self._ask(booking, need), undo=lambda answer: self._undo(booking, answer)
        )
        if verdict == b"wait":
            return Delayed(float(delay), cast(WaitReason, why.decode()), self.state)
        self._own.take()
        # Its time may lie a moment ahead. Called off meanwhile, it never left.
        try:
            if (seconds := float(delay)) > 0:
                await self._server.sleep(seconds)
        except BaseException:
            await self.cancel(booking, counted=False)
            raise
        return Admitted(booking, self.state)

    async def settle(self, booking: str, usage: Usage, limits: Limits | None) -> PoolState:
        """An answer came."""
        ending = _ending("settle", booking, usage.limited_input, usage.output_tokens, limits)
        return await self._end(ending, answered=True)

    async def cancel(
        self, booking: str, *, counted: bool, limits: Limits | None = None
    ) -> PoolState:
        """No answer came; *counted*: its tokens are not given back."""
        used = "" if counted else 0
        return await self._end(_ending("cancel", booking, used, used, limits))

    async def refuse(
        self,
        booking: str,
        kind: LimitKind,
        wait_s: float,
        *,
        bare: bool = True,
        blame: RefusalBlame = "pool",
    ) -> Refused:
        """A 429 came. Unless it is for a row's own sake, it stops all users of the
        pool, or lowers what all of them may have in flight.
        """
        # A row's own 429 must not stop the rows of other hosts.
        if blame != "pool":
            return Refused(await self.cancel(booking, counted=False), stops=False)
        ending = _ending("refuse", booking, 0, 0, wait=(_text(wait_s), kind, int(bare)))
        return Refused(await self._end(ending), stops=kind != "concurrency")

    async def restart(self) -> None:
        """The pool was away: for all, nothing that was saved up is spent at once."""
        await carried_out(self._told(_ending("restart", "", 0, 0)))

    @property
    def state(self) -> PoolState:
        """What limits the pool, as last heard."""
        known, own = self._state, self._own.limit
        return known if own >= known.in_flight else replace(known, in_flight=own)

    async def _ask(self, booking: str, need: ExpectedUsage) -> tuple[bytes, bytes, bytes]:
        tokens = max(need.input_tokens, need.input_worst_case), need.output_tokens
        # Up to this, an attempt is admitted ahead of its time and waits here: a second
        # round trip for a wait of some milliseconds would cost pace.
        horizon_s = 2 * CLUMP_S
        facts = (*map(_text, tokens), LEASE_S, _text(horizon_s), *self._start)
        try:
            await self._tell_rest()
            verdict, delay, why, *state = await self._server.run(
                _ADMIT, self._keys, self._server.client, booking, *facts
            )
        except ServerAway:
            # It may have been admitted, and only the answer was lost.
            self._unheard.append(_ending("cancel", booking, 0, 0))
            return b"wait", str(AGAIN_S).encode(), b"shared server"
        self._note(state)
        return verdict, delay, why

    async def _undo(self, booking: str, answer: tuple[bytes, bytes, bytes]) -> None:
        if answer[0] == b"go":
            await self._told(_ending("cancel", booking, 0, 0))

    async def _end(self, ending: _EndToTell, *, answered: bool = False) -> PoolState:
        self._own.free(self._now(), answered=answered)
        await carried_out(self._told(ending))
        return self.state

    async def _told(self, ending: _EndToTell) -> None:
        """Tell *ending*, now or when the server is back: an answer that came is never
        held up by it.
        """
        try:
            await self._tell_rest()
            await self._finish(ending)
        except ServerAway:
            self._unheard.append(ending)

    async def _tell_rest(self) -> None:
        while self._unheard:
            ending = self._unheard.popleft()
            try:
                await self._finish(ending)
            except BaseException:
                # Not lost: told at the next chance, and counted once if it was heard.
                self._unheard.appendleft(ending)
                raise

    async def _finish(self, ending: _EndToTell) -> None:
        facts = (*ending.counted, *self._share, *ending.refusal)
        self._note(await self._server.run(_FINISH, self._keys, *facts))

    def _note(self, state: Sequence[bytes]) -> None:
        # Nothing: the server has forgotten the pool, and the next admission begins it.
        if not state:
            return
        *rates, in_flight, limited_s = state
        requests, input_tokens, output_tokens = (float(rate) if rate else None for rate in rates)
        self._state = PoolState(
            requests, input_tokens, output_tokens, int(float(in_flight)), float(limited_s)
        )


def _ending(
    how: str,
    booking: str,
    input_tokens: Value,
    output_tokens: Value,
    limits: Limits | None = None,
    *,
    wait: tuple[Value, Value, Value] = ("0", "", 1),
) -> _EndToTell:
    """The facts of an ending, as the script takes them."""
    limits = limits or Limits()
    stated = [
        "" if figure is None else figure
        for reading in (limits.requests, limits.input_tokens, limits.output_tokens)
        for figure in (reading.limit, reading.remaining)
    ]
    return _EndToTell((how, booking, input_tokens, output_tokens, *stated), wait)


def _text(number: float | None) -> str:
    return "" if number is None else repr(float(number))
