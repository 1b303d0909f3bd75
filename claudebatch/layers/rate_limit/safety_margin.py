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

    @property
    def margin_s(self) -> float:
        """How far to stay behind."""
        return min(
            self._base_s * 2.0**self._refusals, max(self._base_s, MARGIN_S * 2.0**REFUSAL_DOUBLINGS)
        )

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
        self._base_s = max(self._base_s, seconds)

    def limit_blind_burst(self, seconds: float) -> None:
        """No more may be saved up than so much, nor more than at first."""
        self._blind_burst_s = min(seconds, self._blind_burst_most_s)

    def refused(self, now: float) -> None:
        """A request that was granted met a 429."""
        self._refusals = min(self._refusals + 1, REFUSAL_DOUBLINGS)
        self._in_all = min(self._in_all + 1, 2 * REFUSAL_DOUBLINGS)
        self._forgets_at = now + self._patience_s

    def pass_time(self, now: float) -> None:
        """It is *now*."""
        while now >= self._forgets_at:
            self._refusals -= 1
            self._forgets_at = self._forgets_at + self._patience_s if self._refusals else inf

    @property
    def _patience_s(self) -> float:
        return FORGIVEN_S * 2.0 ** (self._in_all - 1)
