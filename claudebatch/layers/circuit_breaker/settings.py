"""When a circuit breaker opens and how it tries again; config fills it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and how it tries again (terms as in resilience4j)."""

    minimum_calls: int = 20
    failure_rate: float = 0.5
    slow_call: float = 0.9
    """A call is slow from this share of its deadline on, which grows with the longest
    answer that the row allows.
    """
    slow_call_rate: float = 1.0
    """Calls that were slow or failed. The default says: not one that was neither."""
    window_s: float = 30.0
    """Older calls say nothing any more, unless there are fewer than the minimum without
    them.
    """
    wait_open_s: float = 10.0
    probes: int = 3

    @property
    def window_calls(self) -> int:
        """The window's size: `minimum_calls` failures in a row reach the rate, however
        good the time before was.
        """
        return max(self.minimum_calls, int(self.minimum_calls / self.failure_rate))

    @property
    def bad_rows(self) -> int:
        """So many rows must have failed before the pool is to blame: one alone may be
        the cause itself.
        """
        return min(2, self.minimum_calls)
