"""Our mirror of one of the API's token buckets: never ahead of it, and as close behind
as its headers allow.

The API refills each limit without a pause up to a capacity that it does not tell (a
minute's allowance, or a second's), and refuses what does not fit. The mirror is a
token bucket of the same rate that starts empty, so it holds less than the API's as long
as both take the same at the same time: what it grants is never refused. When an answer
states what remains, the distance between the two is known, and all but a reserve is
closed.
"""

from __future__ import annotations

from math import inf

from claudebatch.layers.rate_limit.constants.bucket import (
    BLIND_BURST_S,
    BLIND_SLACK,
    CATCH_UP_SHARE,
    CLUMP_S,
    LARGEST_BUCKET_S,
    MARGIN_S,
    OTHERS_WINDOW_S,
    PROOF_STEPS,
    SAVED_GAP_S,
    SMALLEST_BUCKET_S,
    STALE_HEADER_S,
)
from claudebatch.layers.rate_limit.other_consumers import OtherConsumers
from claudebatch.layers.rate_limit.peak_levels import BucketSnapshot, PeakLevels
from claudebatch.layers.rate_limit.safety_margin import SafetyMargin


class BucketMirror:
    """*per_minute* units a minute. Levels are in units, moments and waits in seconds of
    one monotonic clock.
    """

    def __init__(
        self,
        per_minute: float,
        *,
        now: float,
        level: float = 0.0,
        step: float = 1.0,
        blind_burst_s: float = BLIND_BURST_S,
        spaced: bool = False,
        shared: bool = True,
        share: float = 1.0,
        margin_s: float = MARGIN_S,
        known_from: int = PROOF_STEPS,
        blind_margin: float = BLIND_SLACK,
        soon_s: float = LARGEST_BUCKET_S,
    ) -> None:
        """*level*: units at the start. *step*: `remaining` in headers is a multiple of
        it. *blind_burst_s*: least seconds of allowance in it. *spaced*: departures
        never bunch. *shared*: the use of others may be learned. *share*: as in
        `set_rate`. *margin_s*: the distance behind the API's bucket once that is known,
        which is after *known_from* steps in headers. *blind_margin*: of the rate, until
        then. *soon_s*: seconds of what is saved up that may be spent by the hundreds.
        """
        self._blind_margin = blind_margin
        self._soon_s = soon_s
        self._step = step
        self._known_from = known_from * step
        # Requests left are exact, tokens left are rounded to the nearest thousand.
        self._rounding = step / 2 if step > 1 else 0.0
        self._spaced = spaced
        self._shared = shared
        # Mutable, changed by the methods below only. A level below 0 is yet to refill.
        self._per_s = per_minute / 60
        self._share = share
        self._safety = SafetyMargin(
            margin_s=margin_s, blind_burst_s=blind_burst_s, least_blind_burst_s=BLIND_BURST_S
        )
        self._most_seen = 0.0
        self._level = min(level, self.guaranteed_capacity)
        self._at = self._free_at = now
        self._adjusted = self._slack = self._drained_per_s = 0.0
        self._burst_held_until = -inf
        self._others = OtherConsumers(now)
        self._last = (now, 0.0)
        self._peaks = PeakLevels()
        # As if it could hold any amount and headers had never moved it; the most of
        # that; the most that the API held.
        self._unbound = self._most_unbound = 0.0
        self._most_held = 0.0

    @property
    def per_minute(self) -> float:
        """Units a minute."""
        return self._per_s * 60

    @property
    def top_per_s(self) -> float:
        """Units a second that are never passed, whatever is saved up."""
        spent = self._per_s * (1 + CATCH_UP_SHARE) + self._most_seen / STALE_HEADER_S
        return max(spent, 1 / SAVED_GAP_S) if self._holds_seconds else spent

    @property
    def known(self) -> bool:
        """Whether headers have shown enough to tell how far behind the API's bucket
        this one is.
        """
        return self._most_seen >= self._known_from

    @property
    def guaranteed_capacity(self) -> float:
        """Units that the API's bucket holds at least when this one is full."""
        blind = self._per_s * self._safety.blind_burst_s
        return (
            max(blind, self._most_seen - self._rounding - self._margin()) if self.known else blind
        )

    @property
    def margin(self) -> float:
        """Units by which it stays behind the API's once that is known."""
        return self._margin()

    @property
    def gains_per_s(self) -> float:
        """Units a second by which it fills now, less what is drained."""
        return self._rate() - self._drained_per_s

    def snapshot(self, now: float) -> BucketSnapshot:
        """Where it stands."""
        self._fill(now)
        return self._snapshot()

    def wait_for(self, units: float, now: float) -> float:
        """Seconds until *units* may be taken; more than it can hold may be taken alone,
        when the API's is full.
        """
        self._fill(now)
        missing, gained = min(units, self._full()) - self._level, self.gains_per_s
        filled_in = (missing / gained if gained > 0 else LARGEST_BUCKET_S) if missing > 0 else 0.0
        if self._others.per_s:
            # Less is believed of others the longer nothing is heard of them.
            filled_in = min(filled_in, OTHERS_WINDOW_S)
        return max(filled_in, self._free_at - now)

    def take(self, units: float, now: float) -> BucketSnapshot:
        """Take *units*; call it when `wait_for` is over."""
        self._fill(now)
        self._note_peak()
        self._peaks.leave(now)
        held = min(self._level, self.guaranteed_capacity)
        saved = held > self._kept
        self._level = held - units
        self._last = (now, units)
        self._unbound -= units
        if saved or self._spaced:
            spend = saved and not self.holds_burst(now)
            self._free_at = max(self._free_at, now - CLUMP_S) + self._gap_s(units, spend=spend)
        return self._snapshot()

    def give_back(self, units: float, now: float, snapshot: BucketSnapshot | None = None) -> None:
        """Return what was taken too much; a negative number takes what was taken too
        little. *snapshot*: the API took what it took then, so this may be no fuller
        than with the right number taken: what would run over is lost.
        """
        self._fill(now)
        if units > 0:
            self._free_at -= units / (self._rate() * (1 + CATCH_UP_SHARE))
        if snapshot is not None:
            free = self.guaranteed_capacity - self.peak_since(snapshot)
            self.adjust(min(units, max(0.0, free)))
        else:
            self._note_peak()
            level = min(self._level, self.guaranteed_capacity) if units < 0 else self._level
            self._level = min(self._full(), level + units)
        self._unbound += units
        self._most_unbound = max(self._most_unbound, self._unbound)

    def set_drain_rate(self, per_s: float) -> None:
        """From the last call of any method on, so many units a second are taken."""
        self._note_peak()
        self._drained_per_s = per_s

    def drain(self, units: float, now: float) -> None:
        """Take *units* evenly since the last call of any method."""
        if now > self._at:
            self._drained_per_s = units / (now - self._at)
        self._fill(now)
        if self._most_seen < PROOF_STEPS * self._step:
            self._level = min(
                self._level, self.guaranteed_capacity
            )  # what else it may hold is less than headers can say

    def tune(self, *, blind_burst_s: float, slack: float, spaced: bool) -> None:
        """Change *blind_burst_s* and *spaced*, and be slower than the rate by the share
        *slack*.
        """
        self._safety.limit_blind_burst(blind_burst_s)
        self._slack, self._spaced = slack, spaced

    def keep_margin(self, seconds: float) -> None:
        """Stay at least so far behind the API's."""
        self._safety.keep_margin(seconds)

    def observe(
        self,
        snapshot: BucketSnapshot,
        remaining: float,
        now: float,
        *,
        uncounted: tuple[float, float] | None = None,
    ) -> float:
        """An answer says that *remaining* were left; returns by how much that moved the
        mirror.

        When it counted is not known: at the earliest right after its request was
        admitted (*snapshot*), at the latest now. Every moment of that time gives a
        distance between the API's bucket and this one; the smallest is safe to close.
        *uncounted*: what was taken here and not yet there, at both ends of it; the
        mirror is then only raised.
        """
        self._fill(now)
        self._see(snapshot, remaining)
        if not self.known:
            return 0.0
        moved = self._follow(snapshot, remaining, now, uncounted)
        if uncounted is None and self._shared:
            self._others.moved(moved, now, rate=self._per_s)
        return moved

    def _follow(
        self,
        snapshot: BucketSnapshot,
        remaining: float,
        now: float,
        uncounted: tuple[float, float] | None,
    ) -> float:
        uncounted_then, uncounted_now = uncounted or (0.0, 0.0)
        then = remaining - uncounted_then - (snapshot.level + self._adjusted - snapshot.adjusted)
        latest = remaining - uncounted_now - self._level
        margin, error = self._margin(), self._rounding
        least = min(
            then, latest if uncounted else remaining - self.peak_since(snapshot, stale=True)
        )
        # An empty bucket may be in debt by any amount.
        if remaining > 0 and (gap := least - error) > margin:
            return self.adjust(min(gap - margin, self._may_raise()))
        if uncounted is None and (gap := max(then, latest) + error) < margin / 2:
            # Others take from it, or our estimates are too low.
            return self.adjust(gap - margin)
        return 0.0

    def hold_burst(self, now: float) -> None:
        """Spend nothing of what is saved up for a while."""
        self._burst_held_until = now + LARGEST_BUCKET_S

    def holds_burst(self, now: float) -> bool:
        """Whether that while is not over."""
        return now < self._burst_held_until

    def adjust(self, units: float) -> float:
        """Move the level by *units* that no request took or gave back; returns them."""
        self._level += units
        self._adjusted += units
        return units

    def refused(self, now: float) -> None:
        """The API did not admit what this bucket granted: it is empty, and what was
        believed of it was not true.
        """
        self._fill(now)
        self.adjust(min(0.0, -self._level))
        self._most_seen = self._most_held = 0.0
        self._most_unbound = self._unbound
        self._safety.refused(now)
        self.hold_burst(now)

    def set_rate(self, per_minute: float, now: float, *, share: float = 1.0) -> None:
        """From *now* on, *per_minute* units a minute; the API's bucket holds as many
        seconds of it as before. *share*: it is this share of what the API would allow;
        below 1, the rest stays for others, saved up or not.
        """
        self._fill(now)
        self._most_seen *= per_minute / 60 / self._per_s
        self._most_held *= per_minute / 60 / self._per_s
        self._most_unbound = self._unbound
        self._per_s = per_minute / 60
        self._share = share
        last_at, units = self._last
        # Had this been the rate when the last one left, no more than this could be
        # there now.
        self._level = min(
            self._level,
            self.guaranteed_capacity - units + (now - last_at) * self._rate(),
            self.guaranteed_capacity,
        )

    @property
    def _holds_seconds(self) -> bool:
        """Whether it was seen to be no bucket of the smallest kind."""
        return self.known and self._most_seen >= 2 * SMALLEST_BUCKET_S * self._per_s

    @property
    def _kept(self) -> float:
        """Units that are not spent as savings: the smallest bucket has no more."""
        if self._holds_seconds:
            return 0.0
        return self._per_s * max(SMALLEST_BUCKET_S, self._safety.blind_burst_s)

    def _gap_s(self, units: float, *, spend: bool) -> float:
        """Seconds from a departure to the next; *spend*: out of what is saved up."""
        per_s = self._rate() * (1 + CATCH_UP_SHARE)
        if not spend:
            return units / per_s
        gap_s = units / (per_s + self._most_seen / STALE_HEADER_S)
        # Answers may be longer than expected: what they may take soon has an end.
        soon = self._holds_seconds and self._level > self._most_seen - self._soon_s * self._per_s
        return min(gap_s, SAVED_GAP_S) if soon else gap_s

    def _snapshot(self) -> BucketSnapshot:
        return BucketSnapshot(self._level, self._adjusted, self._peaks.count, self._unbound)

    def _see(self, snapshot: BucketSnapshot, remaining: float) -> None:
        self._most_seen = max(self._most_seen, remaining)
        if remaining > 0:
            # What was taken since it held the most is gone from what remains.
            gone = self._most_unbound - max(snapshot.unbound, self._unbound)
            held = min(remaining + gone, self._per_s / self._share * LARGEST_BUCKET_S)
            self._most_held = max(self._most_held, held)

    def _note_peak(self) -> None:
        # Right before it falls. Shifts move all levels alike.
        self._peaks.note(
            min(self._level, self.guaranteed_capacity) - self._adjusted, self._per_s * CLUMP_S
        )

    def peak_since(self, snapshot: BucketSnapshot, *, stale: bool = False) -> float:
        """The highest level since then; *stale*: or since a header was true that is as
        old as they get.
        """
        self._note_peak()
        return self._peaks.since(snapshot.peaks, stale=stale) + self._adjusted

    def _may_raise(self) -> float:
        # What we leave to others comes back as "remaining": only what was saved up
        # before us may be spent.
        return inf if self._share >= 1 else max(0.0, self._most_seen * self._share - self._adjusted)

    def _rate(self) -> float:
        slack = max(self._slack, 0.0 if self.known else self._blind_margin)
        return self._per_s * (1 - slack) - (self._others.per_s if self.known else 0.0)

    def _margin(self) -> float:
        return min(self._most_seen / 2, self._per_s * self._safety.margin_s)

    def _full(self) -> float:
        """How far it must fill until the API's bucket is full for certain: only then
        that admits more than it can hold.
        """
        blind = self._per_s * self._safety.blind_burst_s
        most = max(self._most_seen, self._most_held) + self._step
        return max(blind, most - self._margin()) if self.known else blind

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._safety.pass_time(now)
            seconds = now - self._at
            level = self._level + seconds * (self._rate() - self._drained_per_s)
            self._level = min(level, max(self._level, self._full()))
            self._unbound += seconds * (self._per_s / self._share - self._drained_per_s)
            self._most_unbound = max(self._most_unbound, self._unbound)
            self._at = now
            self._others.silent(now)
