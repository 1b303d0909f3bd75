"""What a pool's 429s mean: one row waits, or all do; how long, and what ends it.

A gateway or an overloaded server refuses a request now and then that no limit
forbids. Stopped for each of these, a pool stands still most of the time. A limit
that is reached refuses the next requests as well: it is told by refusals that are
neighbours in the order in which requests left. The time in which they come says
less, because a 429 comes at once and an answer takes its time.
"""

from __future__ import annotations

from math import inf

from claudebatch.layers.rate_limit.constants.bucket import (
    CATCH_UP_SHARE,
    CLUMP_S,
    LARGEST_BUCKET_S,
    PROOF_STEPS,
)
from claudebatch.layers.rate_limit.constants.concurrency import OLD_ANSWERS_S
from claudebatch.layers.rate_limit.constants.limiter import HERD_SHARE, PROBE_GAP_S


class Refusals:
    """The stop of one pool, while it has one. Requests are known by their number, in
    the order in which they left.
    """

    def __init__(self) -> None:
        # Mutable, changed by the methods below only: since when it is stopped, until
        # when nothing leaves, and how long the last wait was; when the last probe left,
        # and how long a refusal took to come.
        self._since: float | None = None
        self._until = -inf
        self._wait_s = 0.0
        self._probe_at = -inf
        self._took_s = 0.0
        # How many of these refusals asked for longer than any bucket takes to fill.
        self._long = 0
        # The last refused request's number; refusals of late, each worth less with
        # every request that left since then; and when an answer last came.
        self._number = -inf
        self._of_late = 0.0
        self._answered_at = -inf

    @property
    def stopped(self) -> bool:
        """Whether nothing leaves but probes."""
        return self._since is not None

    def stopped_for(self, now: float) -> float:
        """Seconds since the 429 that stopped the pool; 0 when it is not."""
        return 0.0 if self._since is None else now - self._since

    def wait(self, now: float) -> float:
        """Seconds until the next probe of a pool that is stopped."""
        return max(self._until, self._probe_at + PROBE_GAP_S) - now

    def left(self, now: float) -> None:
        """A request leaves."""
        if self.stopped:
            self._probe_at = now

    def no_news(self) -> None:
        """A probe was refused for its row's own sake: another may go."""
        self._probe_at = -inf

    def passes(self, number: int, wait_s: float, now: float, *, rows_own: bool = False) -> bool:
        """Request *number* met a 429 that names no limit and asks for *wait_s*: whether
        it is its row's alone to wait for. *rows_own*: rows of this pool are refused for
        their own sake.
        """
        apart = abs(number - self._number)
        # A limit that is passed by little refuses one here and there, but for ever.
        fades = 1 / 2 if rows_own else CATCH_UP_SHARE
        self._of_late = max(0.0, self._of_late - fades * apart) + 1
        alone = (apart > 2 or rows_own) and self._of_late <= PROOF_STEPS
        self._number = number
        served = now - self._answered_at <= OLD_ANSWERS_S
        # Nobody asks for a long wait by chance.
        short = wait_s <= PROBE_GAP_S or rows_own
        return alone and served and short and not self.stopped

    def stop(self, sent_at: float, wait_s: float, now: float, *, ramp: bool = False) -> bool:
        """A 429 to what left at *sent_at* stops the pool for *wait_s*, a probe's for
        twice as long as the one before; returns whether it was not stopped already.
        *ramp*: no bucket is empty, and the wait may take as long as it says.
        """
        first = self._since is None
        if self._since is None:
            self._since, self._wait_s, self._took_s, self._long = now, wait_s, 0.0, 0
        elif sent_at > self._since:
            self._wait_s = wait_s = max(wait_s, min(2 * self._wait_s, PROBE_GAP_S))
        if wait_s > LARGEST_BUCKET_S * (1 + HERD_SHARE):
            self._long += 1 + ramp
        self._took_s = max(self._took_s, now - sent_at)
        self._until = max(self._until, now + wait_s)
        self._probe_at = -inf
        return first

    def answered(self, sent_at: float, now: float) -> bool:
        """An answer came to what left at *sent_at*; returns whether that ends a stop.

        What left before the stop was let in before it. It says something only while a
        probe is out for longer than a refusal takes: where answers take long, the probe
        was let in and its answer is not waited for.
        """
        self._answered_at = now
        if self._since is None:
            return False
        if self._long == 1:
            # It was let in, and one alone was not.
            self._until = min(self._until, self._since + LARGEST_BUCKET_S)
        probe_let_in = now - self._probe_at > 2 * max(self._took_s, CLUMP_S)
        return sent_at > self._since or (self._probe_at > -inf and probe_let_in)

    def end(self, now: float) -> bool:
        """The stop is over; returns whether it was a long one."""
        long = self.stopped_for(now) > LARGEST_BUCKET_S
        self._since, self._probe_at = None, -inf
        self._number, self._of_late = -inf, 0.0
        return long
