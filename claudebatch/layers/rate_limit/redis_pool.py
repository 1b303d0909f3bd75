"""A pool whose limits all hosts share: its state stands at the shared server, and each
decision is a script there, by the server's clock.

One script admits, one ends. The pace is that of plain token buckets of one second,
with first come, first served over all users, a gentle start, and one probe at a time
after a 429; answers are not watched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import cast

from claudebatch.core.domain import Usage
from claudebatch.core.errors import LimitKind
from claudebatch.core.events import WaitReason
from claudebatch.core.frozen import value
from claudebatch.core.limit_headers import Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.concurrency import ConcurrencyLimit
from claudebatch.layers.rate_limit.constants.bucket import (
    CLUMP_S,
    FAR_SERVER_S,
    LARGEST_BUCKET_S,
    SHARED_SAVED_S,
)
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
from claudebatch.storage.shared_server.tell_queue import TellQueue
from claudebatch.storage.shared_server.times import AGAIN_S, LEASE_S

_FOLDER = Path(__file__).with_name("lua")
# Up to this, an attempt is admitted ahead of its time, and its row waits: a second
# round trip for a wait of some milliseconds would cost pace, and so would the one of
# the next in line if it were made after that wait.
_AHEAD_S = 2 * CLUMP_S
NUMBERS = {
    "AHEAD_S": _AHEAD_S,
    "CLUMP_S": CLUMP_S,
    "SAVED_S": SHARED_SAVED_S,
    "DOUBLING_S": DOUBLING_S,
    "FIRST_AT_ONCE": FIRST_AT_ONCE,
    "FIRST_PER_S": FIRST_PER_S,
    "OLD_ANSWERS_S": OLD_ANSWERS_S,
    "PROBE_GAP_S": PROBE_GAP_S,
    "UNKNOWN_LIMITS_GAP_S": UNKNOWN_LIMITS_GAP_S,
    "USED_SHARE": USED_SHARE,
}
_ADMIT = Script.read(_FOLDER, "pool.lua", "admit.lua", numbers=NUMBERS)
_FINISH = Script.read(_FOLDER, "pool.lua", "finish.lua", numbers=NUMBERS)


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
        self._keys = keys_of(server.prefix, start.name)
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
        # state that it told last; since when, and for how long at most, requests of
        # other processes come first; what a round trip usually takes.
        self._numbers = count()
        self._unheard = TellQueue(self._finish)
        self._state = PoolState(requests, input_tokens, output_tokens, start.in_flight)
        self._behind: tuple[float, float] | None = None
        self._trip_s = 0.0

    async def admit(
        self, need: ExpectedUsage, behind: Iterable[ExpectedUsage] = ()
    ) -> Admitted[str] | Delayed:
        """Take all that an attempt needs, or nothing and say when to ask again; and the
        same for those *behind* it, until one has to wait.
        """
        if (seconds := self._own.wait(self._now())) > 0:
            return Delayed(min(seconds, LARGEST_BUCKET_S), "requests in flight", self.state)
        # More than leave in the moment for which they are let go ahead of their time,
        # and still a short script.
        most = min(self._own.limit - self._own.in_flight, int(FIRST_AT_ONCE))
        needs = [need, *islice(behind, most - 1)]
        # Named here and not there: asked for again after a lost answer, they are the
        # same.
        asked = {f"{self._server.client}.{next(self._numbers)}": need for need in needs}
        self._stood_behind()
        first, *rest = await carried_out(self._ask(asked), undo=self._undo)
        return replace(first, behind=tuple(rest)) if isinstance(first, Admitted) else first

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

    def _stood_behind(self) -> None:
        """Count the wait that ends now, if it was for others."""
        if self._behind is not None:
            since, most_s = self._behind
            self._server.waits.line_s += min(self._now() - since, most_s)
            self._behind = None

    async def _ask(self, asked: Mapping[str, ExpectedUsage]) -> list[Admitted[str] | Delayed]:
        """The answers for all of *asked*, until one has to wait."""
        needs: list[Value] = []
        for booking, need in asked.items():
            tokens = max(need.input_tokens, need.input_worst_case), need.output_tokens
            needs += [booking, *map(_text, tokens)]
        horizon_s = _AHEAD_S + min(2 * self._trip_s, FAR_SERVER_S)
        facts = (LEASE_S, _text(horizon_s), *self._start)
        try:
            await self._unheard.caught_up()
            began = self._now()
            answer = await self._server.run(_ADMIT, self._keys, self._server.client, *facts, *needs)
            self._trip_s += (self._now() - began - self._trip_s) / 2
        except ServerAway:
            # They may have been admitted, and only the answer was lost.
            for booking in asked:
                self._unheard.put_off(_ending("cancel", booking, 0, 0))
            return [Delayed(AGAIN_S, "shared server", self.state)]
        requests, input_tokens, output_tokens, in_flight, limited_s, *verdicts = answer
        self._note([requests, input_tokens, output_tokens, in_flight, limited_s])
        return self._read(list(asked), verdicts)

    def _read(self, asked: Sequence[str], verdicts: list[bytes]) -> list[Admitted[str] | Delayed]:
        """What *verdicts* say of *asked*: of each, in how many seconds it may leave; at
        the end, for how long to wait, why, and how many others come first.
        """
        answers: list[Admitted[str] | Delayed] = []
        leaving = next((n for n, each in enumerate(verdicts) if each == b"wait"), len(verdicts))
        for booking, seconds in zip(asked, verdicts[:leaving], strict=False):
            self._own.take()
            answers.append(Admitted(booking, self.state, leaves_in_s=float(seconds)))
        if leaving < len(verdicts):
            _, seconds, why, first = verdicts[leaving:]
            if int(first):
                self._behind = (self._now(), float(seconds))
            reason = cast(WaitReason, why.decode())
            # An end gives back tokens and places, never a request.
            freed = reason != "requests per minute"
            answers.append(Delayed(float(seconds), reason, self.state, freed_by_ends=freed))
        return answers

    async def _undo(self, answers: Sequence[Admitted[str] | Delayed]) -> None:
        for answer in answers:
            if isinstance(answer, Admitted):
                await self.cancel(answer.booking, counted=False)

    async def _end(self, ending: _EndToTell, *, answered: bool = False) -> PoolState:
        self._own.free(self._now(), answered=answered)
        await carried_out(self._told(ending))
        return self.state

    async def _told(self, ending: _EndToTell) -> None:
        """Tell *ending*, now or when the server is back: an answer that came is never
        held up by it.
        """
        self._unheard.put(ending)
        with suppress(ServerAway):
            await self._unheard.emptied()

    async def _finish(self, endings: Sequence[_EndToTell]) -> None:
        facts = [fact for ending in endings for fact in (*ending.counted, *ending.refusal)]
        self._note(await self._server.run(_FINISH, self._keys, *self._share, *facts))

    def _note(self, state: Sequence[bytes]) -> None:
        # Nothing: the server has forgotten the pool, and the next admission begins it.
        if not state:
            return
        *rates, in_flight, limited_s = state
        requests, input_tokens, output_tokens = (float(rate) if rate else None for rate in rates)
        self._state = PoolState(
            requests, input_tokens, output_tokens, int(float(in_flight)), float(limited_s)
        )


def keys_of(prefix: str, pool: str) -> list[str]:
    """The keys that the scripts of *pool* are given."""
    place = f"{prefix}:limits:{pool}"
    parts = ("booked", "leases", "line", "needs", "users")
    return [place, *(f"{place}:{part}" for part in parts), names_key(prefix)]


def names_key(prefix: str) -> str:
    """Where the names of all pools stand."""
    return f"{prefix}:pools"


def cancelled(booking: str) -> tuple[Value, ...]:
    """What the script that ends is told of a booking whose process died: whatever it
    sent counts.
    """
    ending = _ending("cancel", booking, "", "")
    return ("1", "", "", "", *ending.counted, *ending.refusal)


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
