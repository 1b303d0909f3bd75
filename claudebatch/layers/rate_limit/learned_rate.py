"""A limit on requests that nobody states, learned from bare 429s.

Between two refusals a token bucket goes from empty to empty. So what was let through
between them is what the bucket refilled, however much it holds. A pool that met
refusals in a row goes on a little below that, tries a little more every minute, and
steps back at the next refusal (AIMD: D. Chiu, R. Jain, 1989).
"""

from __future__ import annotations

from math import inf

from claudebatch.layers.rate_limit.constants.bucket import (
    CATCH_UP_SHARE,
    CLUMP_S,
    FORGIVEN_S,
    LARGEST_BUCKET_S,
    OTHERS_WINDOW_S,
    PROOF_STEPS,
)


class LearnedRate:
    """Requests a second that are let through; no limit until 429s have shown one."""

    def __init__(self) -> None:
        # Mutable, changed by the methods below only: the rate as of its last change;
        # since when requests are counted, and how many were let through since then;
        # refusals that came too soon after a step back; when the next one may leave.
        self._per_s = inf
        self._changed_at = -inf
        self._refused_at = -inf
        self._counted_since = -inf
        self._let_through = 0
        self._in_vain = 0
        # Since when all are counted, and how many were let through since then; and the
        # same of the minute before.
        self._all_since = inf
        self._all = 0
        self._before = (inf, 0)
        self._free_at = -inf

    def per_s(self, now: float) -> float:
        """Requests a second; inf: nothing is known."""
        if self._per_s < inf and now - self._refused_at > FORGIVEN_S:
            self._per_s = inf
        minutes = (now - self._changed_at) / LARGEST_BUCKET_S
        return self._per_s * (1 + CATCH_UP_SHARE * minutes) if self._per_s < inf else inf

    def wait(self, now: float) -> float:
        """Seconds until the next request may leave."""
        return self._free_at - now

    def left(self, now: float) -> None:
        """A request leaves; it is let through unless `refused` says so."""
        self._let_through += 1
        if now - self._all_since > LARGEST_BUCKET_S:
            self._before = (self._all_since, self._all)
            self._all_since, self._all = now, 0
        self._all_since = min(self._all_since, now)
        self._all += 1
        rate = self.per_s(now)
        if rate < inf:
            self._free_at = max(self._free_at, now - CLUMP_S) + 1 / rate

    def refused(self, sent_at: float, now: float, *, alone: bool) -> None:
        """What left at *sent_at* met a 429 that names no limit. *alone*: others that
        left beside it did not.
        """
        if sent_at > self._counted_since:
            self._let_through -= 1
        self._all -= sent_at >= self._all_since
        rate, self._refused_at = self.per_s(now), now
        if rate == inf and alone:
            # By chance, as far as anybody knows.
            return
        seconds = now - self._counted_since
        if seconds < OTHERS_WINDOW_S:
            return
        if seconds > FORGIVEN_S or self._let_through < PROOF_STEPS:
            # Too long ago, or nothing is let through, however slowly it is asked for.
            self._count_anew(now)
            return
        if alone and now - self._changed_at < LARGEST_BUCKET_S:
            self._in_vain += 1
        shown = min(rate, self._let_through / seconds)
        self._count_anew(now)
        if self._in_vain > 2:
            # What keeps being refused below the rate that was let through is refused
            # for another reason.
            self._per_s, self._in_vain = inf, 0
            return
        # Else two came by chance, with stops between them.
        if self._holds(shown, now):
            self._per_s, self._changed_at = shown * (1 - CATCH_UP_SHARE), now

    def forget(self) -> None:
        """The 429s turn out to be those of single rows, which teach nothing."""
        self._per_s = inf

    def _holds(self, per_s: float, now: float) -> bool:
        """Whether any bucket that refills so slowly can have held all that was let
        through of late.
        """
        since, before = self._before
        seconds = now - min(since, self._all_since)
        return self._all + before <= per_s * (seconds + LARGEST_BUCKET_S)

    def _count_anew(self, now: float) -> None:
        self._counted_since, self._let_through = now, 0
