"""What held a run up is counted from its own events, the longest first."""

from __future__ import annotations

from claudebatch.core.events import AttemptStarted, Waiting
from claudebatch.core.reports import Bound
from claudebatch.core.stats.run_stats import RunCounts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_bound_the_run_is_counted_by_pool_and_reason():
    clock = Clock()
    counts = RunCounts(clock)
    counts(Waiting("haiku-5.5", "rate limited", 3.0))
    counts(Waiting("sonnet-5.5", "output tokens per minute", 60.0))
    clock.now = 40.0
    counts(AttemptStarted("claude-sonnet-5-5", "sonnet-5.5"))
    clock.now = 100.0
    assert counts.bound_by(clock.now) == (
        Bound("sonnet-5.5", "output tokens per minute", 40.0),
        Bound("haiku-5.5", "rate limited", 3.0),
    )
    assert counts.requests == 1
