"""How much is believed of a bucket of the API: less after each refusal, and again as
much when that is long ago.
"""

from __future__ import annotations

from math import inf

from claudebatch.layers.rate_limit.constants.bucket import FORGIVEN_S, MARGIN_S, REFUSAL_DOUBLINGS


class SafetyMargin:
    """*margin_s*: seconds of allowance that the mirror stays behind the API's bucket.
    *blind_burst_s*: seconds of it that may be saved up blindly; *least_blind_burst_s*:
    after a refusal.
    """

    def __init__(
        self, *, margin_s: float, blind_burst_s: float, least_blind_burst_s: float
    ) -> None:
        self._least_blind_burst_s = least_blind_burst_s
        self._blind_burst_most_s = blind_burst_s
        # Mutable, changed by the methods below only: refusals not yet forgotten, and
        # all of them.
        self._base_s = margin_s
        self._blind_burst_s = blind_burst_s
        self._refusals = self._in_all = 0
        self._forgets_at = inf
        self.margin_s = margin_s
        """How far to stay behind."""

    @property
    def blind_burst_s(self) -> float:
        """What may be saved up blindly."""
        return (
            min(self._blind_burst_s, self._least_blind_burst_s)
            if self._refusals
            else self._blind_burst_s
        )

    def keep_margin(self, seconds: float) -> None:
        """Stay at least so far behind."""
        if seconds > self._base_s:
            self._base_s = seconds
            self._set_margin()

    def limit_blind_burst(self, seconds: float) -> None:
        """No more may be saved up than so much, nor more than at first."""
        self._blind_burst_s = min(seconds, self._blind_burst_most_s)

    def refused(self, now: float) -> None:
        """A request that was granted met a 429."""
        self._refusals = min(self._refusals + 1, REFUSAL_DOUBLINGS)
        self._in_all = min(self._in_all + 1, 2 * REFUSAL_DOUBLINGS)
        self._forgets_at = now + self._patience_s
        self._set_margin()

    def pass_time(self, now: float) -> None:
        """It is *now*."""
        while now >= self._forgets_at:
            self._refusals -= 1
            self._set_margin()
            self._forgets_at = self._forgets_at + self._patience_s if self._refusals else inf

    def _set_margin(self) -> None:
        # Kept, not worked out: it is asked for many times in each request.
        most_s = max(self._base_s, MARGIN_S * 2.0**REFUSAL_DOUBLINGS)
        self.margin_s = min(self._base_s * 2.0**self._refusals, most_s)

    @property
    def _patience_s(self) -> float:
        return FORGIVEN_S * 2.0 ** (self._in_all - 1)
