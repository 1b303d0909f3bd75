"""When a circuit breaker opens and how it tries again; config fills it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

SERVED_PER_ROW_LEFT = 2
"""The rows that are left of a file may be bad, every one, where so many times as many
were served before. In a small file an outage is the likelier cause.
"""

FIRST_LAST_ATTEMPT_S = 6.0
"""Seconds of trouble until the first row may be asked a last time: by then an outage of
five seconds is over.
"""

ALL_LAST_AFTER_S = 300.0
"""Seconds of trouble until all rows may be asked a last time that fail as single rows
do: an outage of five minutes should lose few rows, and bad rows must come to their end.
"""

FEW_ROWS = 64
"""So many rows that are left are asked sooner, and all at once when their pool serves
again. More would be a storm, and have attempts enough for the usual pace.
"""

MANY_ATTEMPTS = 1000
"""Of a row that has not failed yet."""

FIRST_PROBE_S = 1.0
"""Seconds until the first probe where no more rows are to come, doubled from there up
to the usual wait: the few that are left make no storm, and a short outage ends soon.
"""


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
    def failures_in_a_row(self) -> int:
        """So many failures, of a kind that single rows have, were sent after the last
        served call. With a third of the rows bad, half of twenty calls fail by chance
        in one run of ten, but among them calls are served.
        """
        return ceil(0.75 * self.minimum_calls)

    def outage_rows(self, bad_rows: int) -> int:
        """So many rows that are not bad must have failed before the pool is to blame.

        Two may be the last of a file, and bad: nothing was served after them that would
        tell. Beside many *bad_rows* there are more of that kind.
        """
        return min(self.minimum_calls, max(3, 1 + bad_rows // 4))
