"""When a circuit breaker opens and how it tries again; config fills it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

SERVED_PER_ROW_LEFT = 2
"""The rows that are left of a file may be bad, every one, where so many times as many
were served before. In a small file an outage is the likelier cause.
"""


LAST_ATTEMPT_AFTER_S = 300.0
"""Seconds without an answer until a row may be asked a last time while the breaker is
open: an outage of five minutes may lose no row, and no row has more attempts for it.
"""

LAST_ATTEMPT_WAITS = 3
"""Where each row that is left has only its last attempt, one is made when the trouble
is so many times as old as at the last failure: outages of five seconds took 300.
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
