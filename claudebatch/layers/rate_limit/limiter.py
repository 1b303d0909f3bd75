"""When a pool's next request may leave: three limits, a gentle start, and what a 429
changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isclose
from typing import Protocol

from claudebatch.core.domain import Usage
from claudebatch.core.events import WaitReason
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage, InputReading, PoolBooking
from claudebatch.layers.rate_limit.bucket_mirror import BucketMirror
from claudebatch.layers.rate_limit.constants.bucket import SMALLEST_BUCKET_S, USUAL_BUCKET_S
from claudebatch.layers.rate_limit.constants.limiter import (
    PROBE_GAP_S,
    SHORTEST_WAIT_S,
    UNKNOWN_LIMITS_GAP_S,
)
from claudebatch.layers.rate_limit.gentle_start import GentleStart
from claudebatch.layers.rate_limit.input_limit import InputLimit
from claudebatch.layers.rate_limit.learned_rate import LearnedRate
from claudebatch.layers.rate_limit.output.output_limit import OutputLimit
from claudebatch.layers.rate_limit.peak_levels import BucketSnapshot
from claudebatch.layers.rate_limit.stray_429s import Refusals

_GENTLE: WaitReason = "gentle start"
_REQUESTS: WaitReason = "requests per minute"
_INPUT: WaitReason = "input tokens per minute"
_OUTPUT: WaitReason = "output tokens per minute"
_NO_SNAPSHOT = BucketSnapshot(0.0, 0.0)


class PoolAllowance(Protocol):
    """The rates of one pool; None where there is no limit."""

    @property
    def requests_per_minute(self) -> float | None:
        """RPM."""
        ...

    @property
    def input_tokens_per_minute(self) -> float | None:
        """ITPM: uncached input and cache writes."""
        ...

    @property
    def output_tokens_per_minute(self) -> float | None:
        """OTPM: tokens really produced."""
        ...


@dataclass(frozen=True, slots=True)
class MustWait:
    """Not yet: ask again in *seconds*."""

    seconds: float
    reason: WaitReason


class PoolLimiter:
    """One pool's limits. Take only what `wait` lets through; give each booking back
    exactly once, by `settle`.
    """

    def __init__(
        self,
        allowance: PoolAllowance,
        *,
        now: float,
        cautious: bool = False,
        ceiling: bool = False,
        share: float = 1.0,
        watch_output: bool = True,
    ) -> None:
        """*cautious*: the limits are a guess until an answer states them. *ceiling*:
        they were chosen, and no answer raises them. *share*: so much of each limit is
        ours to use. *watch_output*: answers may be watched on account of the pace.
        """
        self._share = share
        self._cautious = cautious
        self._ceiling = ceiling
        self._watch_output = watch_output
        self._allowance = allowance
        # Mutable, changed by the methods below only.
        rpm, itpm, otpm = (
            per_minute * share if per_minute else None
            for per_minute in (
                allowance.requests_per_minute,
                allowance.input_tokens_per_minute,
                allowance.output_tokens_per_minute,
            )
        )
        self._requests = (
            BucketMirror(rpm, now=now, level=1.0, spaced=True, share=share) if rpm else None
        )
        self._input = InputLimit(itpm, now=now, share=share) if itpm else None
        self._output = OutputLimit(otpm, now=now, share=share, watch=watch_output) if otpm else None
        self._start = GentleStart(now)
        self._refusals = Refusals()
        self._learned = LearnedRate()
        self._before_per_s = 0.0
        self._last_at = -inf
        self._left = 0
        self._waits_for_input = False
        self.limits = self._in_force()
        """Requests, input and output tokens per minute in force; None where there is no
        limit.
        """
        # Whether the next headers open the start; what the last ones said, and when.
        self._opens = True
        self._told: tuple[float, Limits] | None = None

    @property
    def top_per_s(self) -> float | None:
        """Requests a second that never leave faster; None without a limit on
        requests.
        """
        return self._requests.top_per_s if self._requests else None

    def wait(self, need: ExpectedUsage, now: float) -> MustWait | None:
        """None: it may leave now, by `take`."""
        if self._refusals.stopped:
            seconds = self._refusals.wait(now)
            return MustWait(seconds, "rate limited") if seconds > 0 else None
        if self._cautious and (blind := self._last_at + UNKNOWN_LIMITS_GAP_S - now) > 0:
            return MustWait(blind, "first answer")
        longest = self._longest(need, now)
        if longest.seconds > 0:
            self._waits_for_input = longest.reason == _INPUT
            if longest.reason == _OUTPUT and self._output is not None:
                self._output.note_binding()
        if longest.seconds <= 0 or self._left == 0:
            # An account that was idle has full buckets, and a 429 costs a second. What
            # the first one takes is a debt: the next one waits until time pays it, or
            # until an answer shows that there is none.
            return None
        return MustWait(max(longest.seconds, SHORTEST_WAIT_S), longest.reason)

    def take(self, need: ExpectedUsage, now: float) -> PoolBooking:
        """Book a request that leaves now."""
        self._last_at, self._left = now, self._left + 1
        for counter in (self._start, self._learned, self._refusals):
            counter.left(now)
        # While no limit is known, the head of a stream that comes anyway shows them,
        # long before the end of its answer: until then a request leaves a second.
        unknown = (self._cautious and need.streamed) or (self._waits_for_input and not need.proven)
        reading = InputReading() if unknown and self._watch_output else None
        self._waits_for_input = False
        return PoolBooking(
            need=need,
            at=now,
            number=self._left,
            requests=self._requests.take(1.0, now) if self._requests else _NO_SNAPSHOT,
            input=self._input.take(need.input_tokens, now, worst_case=need.input_worst_case)
            if self._input
            else None,
            output=self._output.take(need.output_tokens, now) if self._output else None,
            reading=reading,
        )

    def settle(self, booking: PoolBooking, usage: Usage, limits: Limits | None, now: float) -> bool:
        """An answer came: replace what was expected by what was counted, and learn from
        its headers.

        Returns whether the limits in force changed.
        """
        self._return(booking, usage.limited_input, usage.output_tokens, now, answered=True)
        self._let_in(booking, now)
        return limits is not None and self._learn(booking, limits, now)

    def began(self, booking: PoolBooking, limits: Limits | None, now: float) -> bool:
        """A watched answer begins, and its headers are of now; leave them out when it
        is settled. Returns as that.
        """
        return limits is not None and self._learn(booking, limits, now)

    def read(self, booking: PoolBooking, input_tokens: int, now: float) -> None:
        """The prompt of a watched answer counted so many tokens: long before it is
        over.
        """
        if (
            self._input
            and booking.input
            and booking.reading is not None
            and not booking.reading.reported
        ):
            booking.reading.reported = True
            self._input.settle(booking.input, input_tokens, now)

    def showed(self, booking: PoolBooking, size: float, now: float) -> None:
        """A watched answer has grown by *size* bytes."""
        if self._output and booking.output:
            self._output.showed(booking.output, size * booking.need.tokens_per_byte, now)

    def hides(self, booking: PoolBooking) -> None:
        """A watched answer grows by what is not shown."""
        if self._output and booking.output:
            self._output.hides(booking.output)

    def cancel(
        self, booking: PoolBooking, now: float, *, counted: bool, limits: Limits | None = None
    ) -> None:
        """No answer came; *counted*: the API may have counted its tokens all the same.
        The request itself is not given back: whether a refused one counts is nowhere
        said. *limits*: the API refused the request for its own fault and said so much.
        """
        if counted:
            self._return(booking, booking.need.input_tokens, booking.need.output_tokens, now)
        else:
            self._return(booking, 0, 0, now)
        if limits is not None:
            # A refusal shows as well as an answer that requests are let in: taken for
            # none, it kept a run whose rows are all refused at its first pace for ever.
            self._let_in(booking, now)
            self._learn(booking, limits, now)

    def refused(
        self,
        booking: PoolBooking,
        wait_s: float,
        now: float,
        *,
        bare: bool = True,
        ramp: bool = False,
        rows_own: bool = False,
    ) -> bool:
        """A 429 that asks for *wait_s*. *bare*: its headers show no limit; *ramp*: it
        came too soon after too few; *rows_own*: rows of this pool are refused for their
        own sake.

        Returns whether it stops the pool: nothing leaves for *wait_s*, then one request
        at a time until one is let in. Else its row waits alone.
        """
        self.cancel(booking, now, counted=False)
        may_pass = rows_own or (bare and self._room(now))
        passes = self._refusals.passes(booking.number, wait_s, now, rows_own=rows_own)
        passes = passes and may_pass and not ramp
        if rows_own:
            self._learned.forget()
        elif bare and not ramp:
            self._learned.refused(booking.at, now, alone=passes)
        if passes:
            return False
        if not bare:
            # Probes keep a bucket empty that others use as well.
            wait_s = max(wait_s, PROBE_GAP_S)
        self._opens = False
        if self._refusals.stop(booking.at, wait_s, now, ramp=ramp):
            self._before_per_s = 0.0 if ramp else self._start.speed(now)
            for bucket in (self._requests, self._input, self._output):
                if bucket is not None:
                    bucket.refused(now)
        return True

    def passed_over(self, booking: PoolBooking, now: float) -> None:
        """A 429 that its row alone meets."""
        self.cancel(booking, now, counted=False)
        self._refusals.no_news()

    def restart(self, now: float) -> None:
        """Start as gently as at the beginning: the pool was away."""
        self._start.begin(now)
        for bucket in (self._requests, self._input, self._output):
            if bucket is not None:
                bucket.hold_burst(now)

    @property
    def stopped(self) -> bool:
        """Whether a 429 stops the pool."""
        return self._refusals.stopped

    def limited_for(self, now: float) -> float:
        """Seconds since the 429 that stopped the pool; 0 when a request was let in
        since then.
        """
        return self._refusals.stopped_for(now)

    def _longest(self, need: ExpectedUsage, now: float) -> MustWait:
        """What holds it back longest; 0 seconds or fewer: nothing does."""
        longest, why = self._start.wait(now), _GENTLE
        if (seconds := self._learned.wait(now)) > longest:
            longest, why = seconds, _REQUESTS
        for bucket, units, reason in (
            (self._requests, 1.0, _REQUESTS),
            (self._output, need.output_tokens, _OUTPUT),
        ):
            if bucket is not None and (seconds := bucket.wait_for(units, now)) > longest:
                longest, why = seconds, reason
        if self._input is not None:
            seconds = self._input.wait_for(need.input_tokens, now, worst_case=need.input_worst_case)
            if seconds > longest:
                longest, why = seconds, _INPUT
        return MustWait(longest, why)

    def _let_in(self, booking: PoolBooking, now: float) -> None:
        """The API looked at this request: what waited for that goes on."""
        if self._refusals.answered(booking.at, now):
            if self._refusals.end(now):
                self.restart(now)
            else:
                self._start.go_on(now, before_per_s=self._before_per_s)
        if self._cautious:
            self._cautious = False
            self._start.begin(now)

    def _room(self, now: float) -> bool:
        """Whether nothing that headers said speaks against it that a 429 has nothing to
        do with the limits of the account: none ever came, or those of the last second
        show more left than can be gone by now.
        """
        if self._told is None:
            return True
        at, limits = self._told
        return now - at <= SMALLEST_BUCKET_S and all(
            reading.remaining >= reading.limit / 60 * USUAL_BUCKET_S
            for reading in (limits.requests, limits.input_tokens, limits.output_tokens)
            if reading.limit and reading.remaining is not None
        )

    def _return(
        self,
        booking: PoolBooking,
        input_tokens: float,
        output_tokens: float,
        now: float,
        *,
        answered: bool = False,
    ) -> None:
        if (
            self._input
            and booking.input
            and not (booking.reading is not None and booking.reading.reported)
        ):
            self._input.settle(booking.input, input_tokens, now)
        if self._output and booking.output:
            self._output.settle(booking.output, output_tokens, now, answered=answered)

    def _learn(self, booking: PoolBooking, limits: Limits, now: float) -> bool:
        allowance = self._allowance
        if any(
            reading.remaining is not None
            for reading in (limits.requests, limits.input_tokens, limits.output_tokens)
        ):
            self._cautious = False
            if self._opens:
                self._start.open(now)
                self._opens = False
            self._told = now, limits
        changed = [
            self._take_over(bucket, reading, chosen, now)
            for bucket, reading, chosen in (
                (self._requests, limits.requests, allowance.requests_per_minute),
                (self._input, limits.input_tokens, allowance.input_tokens_per_minute),
                (self._output, limits.output_tokens, allowance.output_tokens_per_minute),
            )
        ]
        if self._requests and limits.requests.remaining is not None:
            self._requests.observe(booking.requests, limits.requests.remaining, now)
        if self._input and booking.input and limits.input_tokens.remaining is not None:
            self._input.observe(booking.input, limits.input_tokens.remaining, now)
        if self._output and booking.output and limits.output_tokens.remaining is not None:
            self._output.observe(booking.output, limits.output_tokens.remaining, now)
        return any(changed)

    def _take_over(
        self,
        bucket: BucketMirror | InputLimit | OutputLimit | None,
        reading: LimitReading,
        chosen: float | None,
        now: float,
    ) -> bool:
        if bucket is None or not reading.limit:
            return False
        ours = (
            min(reading.limit * self._share, chosen or 0.0)
            if self._ceiling
            else reading.limit * self._share
        )
        if isclose(ours, bucket.per_minute):
            return False
        bucket.set_rate(ours, now, share=ours / reading.limit)
        self.limits = self._in_force()
        return True

    def _in_force(self) -> tuple[float | None, float | None, float | None]:
        rpm, itpm, otpm = (
            bucket.per_minute if bucket else None
            for bucket in (self._requests, self._input, self._output)
        )
        return rpm, itpm, otpm
