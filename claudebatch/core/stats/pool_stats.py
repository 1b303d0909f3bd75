"""The counts of one pool of models."""

from __future__ import annotations

from claudebatch.core.domain import Usage
from claudebatch.core.events import LimitsSeen
from claudebatch.core.stats.last_minute import LastMinute
from claudebatch.core.stats.snapshot import BreakerState, MinuteLimits, PoolSnapshot


class PoolStats:
    """Figures of one pool; another thread may read them."""

    def __init__(self) -> None:
        # Mutable, changed by `RunStats` only.
        self.in_flight = 0
        self.breaker: BreakerState = "closed"
        self.concurrency: int | None = None
        self._models: dict[str, None] = {}
        self._limits = MinuteLimits()
        self._requests = LastMinute()
        self._input_tokens = LastMinute()
        self._output_tokens = LastMinute()

    @property
    def only_model(self) -> str:
        """The model of all its requests; empty where there are several, or none yet."""
        return next(iter(self._models)) if len(self._models) == 1 else ""

    def limit_of(self, reason: str) -> float | None:
        """The limit that a wait of this *reason* is for; None: unknown, or no such."""
        return {
            "requests per minute": self._limits.requests,
            "input tokens per minute": self._limits.input_tokens,
            "output tokens per minute": self._limits.output_tokens,
        }.get(reason)

    def started(self, model: str, now: float) -> None:
        """A request to *model* has left."""
        self._models[model] = None
        self.in_flight += 1
        self._requests.add(1, now)

    def finished(self, usage: Usage | None, now: float) -> None:
        """A request has come back; *usage* is None where no answer came."""
        self.in_flight -= 1
        if usage is not None:
            # Beside the API's limit, so without cache reads: those are free of it.
            self._input_tokens.add(usage.limited_input, now)
            self._output_tokens.add(usage.output_tokens, now)

    def seen(self, event: LimitsSeen) -> None:
        """The limits in force were learned or have changed."""
        self._limits = MinuteLimits(
            requests=event.requests_per_minute,
            input_tokens=event.input_tokens_per_minute,
            output_tokens=event.output_tokens_per_minute,
        )

    def snapshot(self, now: float) -> PoolSnapshot:
        """The pool at *now*."""
        return PoolSnapshot(
            in_flight=self.in_flight,
            requests_per_minute=self._requests.per_minute(now),
            input_tokens_per_minute=self._input_tokens.per_minute(now),
            output_tokens_per_minute=self._output_tokens.per_minute(now),
            breaker=self.breaker,
            concurrency=self.concurrency,
            limits=self._limits,
            model=self.only_model,
        )
