"""What fails for the moment is tried again, after a wait that no two clients share.

Above budget and limiter: every attempt has its own hold and counts as a request. The SDK's own retries are off.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from claudebatch.domain import Call, Reply
from claudebatch.errors import AttemptError, CircuitOpen, RateLimited
from claudebatch.events import Emit, Retrying
from claudebatch.handler import Handler

_SHORTEST_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to wait: exponential backoff with full jitter.

    Full jitter, a uniform draw between 0 and the backoff, spreads clients best for the least work (M. Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    max_attempts: int = 6
    base_s: float = 1.0
    cap_s: float = 60.0
    max_wait_s: float = 600.0
    """No `retry-after` is honoured beyond this."""

    def delay(self, attempt: int, error: AttemptError, rng: random.Random) -> float | None:
        """Seconds to wait after failed attempt number *attempt* (from 1), or None to give up.

        Never shorter than the API's `retry-after`.
        """
        if not error.retryable or attempt >= self.max_attempts:
            return None
        backoff = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 30))
        asked = min(error.retry_after or 0.0, self.max_wait_s)
        return max(_SHORTEST_WAIT_S, asked + rng.uniform(0.0, backoff))


class Retry:
    """Tries a call again as long as its policy says so. A passing 429 does not use up an attempt."""

    def __init__(
        self, policy: RetryPolicy, *, sleep: Callable[[float], Awaitable[None]], rng: random.Random, emit: Emit
    ) -> None:
        self._policy = policy
        self._sleep = sleep
        self._rng = rng
        self._emit = emit

    async def __call__(self, call: Call, call_next: Handler) -> Reply:
        """The first reply."""
        attempt = sent = 0
        while True:
            try:
                reply = await call_next(call)
            except CircuitOpen as error:
                error.attempts = sent  # nothing was sent: what happens next is for the chain to say
                raise
            except AttemptError as error:
                sent += 1
                # The pool waits out a 429 for everybody; a call that met one has not had its turn yet.
                attempt += not isinstance(error, RateLimited)
                delay = self._policy.delay(attempt, error, self._rng)
                if delay is None:
                    error.attempts = sent
                    raise
                self._emit(Retrying(call.model, error.type, attempt, delay))
            else:
                return replace(reply, attempts=sent + 1) if sent else reply
            await self._sleep(delay)
