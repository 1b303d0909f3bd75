"""How often and how long after a failure a call is tried again; config fills it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import inf

from claudebatch.core.errors import AttemptError, RateLimited
from claudebatch.core.tries import RowLimited

SHORTEST_WAIT_S = 0.05
"""Less would spin: a backoff drawn near 0 would send the retry before anything changed.
"""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to wait: exponential backoff with full jitter.

    Full jitter, a uniform draw between 0 and the backoff, spreads clients best for the
    least work (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
    2015).
    """

    max_attempts: int = 8
    """Where 12 % of the attempts fail, all 8 do for one row in 20 million; 6 would for
    one in 300,000.
    """
    base_s: float = 1.0
    cap_s: float = 60.0
    max_wait_s: float = 600.0
    """No `retry-after` is honoured beyond this."""
    limited_s: float = 60.0
    """A row that meets 429s while others are served is not given up before: an
    allowance that others used up is full again after a minute.
    """
    limited_alone_s: float = 600.0
    """Nor is one that meets them while hardly any row is left that could be served: an
    outage of five minutes may lose no row.
    """
    pool_waits: bool = True
    """Whether a pool below waits out the `retry-after` of its 429s, as `RateLimit`
    does. Waited for here as well, it would be waited for twice, and in a place where
    the row keeps no turn in its pool's queue.
    """

    def delay(self, attempt: int, error: AttemptError, rng: random.Random) -> float | None:
        """Seconds to wait after failed attempt number *attempt* (from 1), or None to
        give up. Never shorter than a `retry-after` that is this row's to wait for.
        """
        if not error.retryable or self.used_up(attempt, error):
            return None
        return self._wait_s(attempt, error, rng)

    def used_up(self, attempts: int, error: AttemptError) -> bool:
        """Whether no attempt is left after *attempts* that ended with *error*."""
        return attempts >= min(self.max_attempts, error.most_attempts or self.max_attempts)

    def delay_of_limited(
        self, row: RowLimited, since_s: float, error: RateLimited, rng: random.Random
    ) -> float | None:
        """As `delay`, after a 429; *since_s*: seconds since the first that counts for
        its *row*.
        """
        least_s = self.limited_s if row.others_served else self.limited_alone_s
        if row.counts and 1 + row.times >= self.max_attempts and since_s >= least_s:
            return None
        # While others are served, no allowance takes longer to be full again.
        most_s = self.limited_s if row.others_served else self.max_wait_s
        return self._wait_s(row.times, error, rng, most_s=most_s)

    def _wait_s(
        self, attempt: int, error: AttemptError, rng: random.Random, *, most_s: float = inf
    ) -> float:
        backoff = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 30))
        asked_s = min(self._asked_s(error), most_s)
        return max(SHORTEST_WAIT_S, asked_s + rng.uniform(0.0, backoff))

    def _asked_s(self, error: AttemptError) -> float:
        if self.pool_waits and isinstance(error, RateLimited) and error.pauses_pool:
            return 0.0
        return min(max(0.0, error.retry_after or 0.0), self.max_wait_s)


@dataclass(frozen=True, slots=True)
class RetryBudgetPolicy:
    """How many retries a pool may have, beside those that are asked for by a 429."""

    share: float = 0.2
    """Retries for every answer. 12 % of failures need 0.136."""
    floor_per_s: float = 1.0
    """Retries a second that are allowed however few answers come: without it, nobody
    would ever find out that they come again.
    """
    saved: float = 10.0
    """Retries that may be saved up, and that there are at the start: enough for chance,
    too few for a storm.
    """
