"""A second store of rate limits: plain token buckets in a SQLite file that any number
of users share, each call one transaction behind a round trip.

A model of a store on another host, written without a look at the local one: it learns
limits from headers, but neither watches answers nor mirrors the API's buckets.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from claudebatch.core.domain import Usage
from claudebatch.core.errors import LimitKind, StopRun
from claudebatch.core.events import WaitReason
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.store import (
    Admitted,
    Delayed,
    PoolStart,
    PoolState,
    RefusalBlame,
    Refused,
)
from tests.support.round_trip import RoundTrip

# A model only: it need not outlive the power.
_SCHEMA = """
PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS buckets (
    kind TEXT PRIMARY KEY, per_minute REAL, chosen REAL, level REAL, at REAL);
CREATE TABLE IF NOT EXISTS pool (
    most INTEGER, paused_until REAL, limited_since REAL, limited_at REAL);
CREATE TABLE IF NOT EXISTS bookings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, input REAL, output REAL, at REAL);
CREATE TABLE IF NOT EXISTS waiting (
    user TEXT PRIMARY KEY, turn INTEGER, until REAL);
"""
_REASONS: dict[str, WaitReason] = {
    "requests": "requests per minute",
    "input": "input tokens per minute",
    "output": "output tokens per minute",
}
# Seconds of allowance that a bucket of tokens holds.
_HOLDS_S = 2.0
# Another user's answer wakes nobody here: somebody must look.
_LOOK_AGAIN_S = 0.5
# A user that does not come when its turn is due has lost it.
_GRACE_S = 1.0
# Below this, a wait is one of rounding only.
_ROUNDING = 1e-9


class SqliteLimiterStore:
    """One user of a pool in the file at *path*; the first one writes down how it
    starts.
    """

    def __init__(
        self,
        path: Path,
        start: PoolStart,
        *,
        now: Callable[[], float],
        user: str = "me",
        one_way_s: float = 0.002,
    ) -> None:
        self.name = start.name
        self._share = start.share
        self._ceiling = start.ceiling
        self._now = now
        self._user = user
        self.trips = RoundTrip(one_way_s)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._whole(lambda: self._set_up(start))

    async def admit(
        self, need: ExpectedUsage, behind: Iterable[ExpectedUsage] = ()
    ) -> Admitted[int] | Delayed:
        """Take all that an attempt needs, or nothing and say when to ask again."""
        return await self.trips.ask(
            lambda: self._whole(lambda: self._admit(need)),
            undo=lambda answer: (
                isinstance(answer, Admitted)
                and self._whole(lambda: self._end(answer.booking, 0, 0))
            ),
        )

    async def settle(self, booking: int, usage: Usage, limits: Limits | None) -> PoolState:
        """An answer came."""

        def work() -> PoolState:
            began = self._end(booking, usage.limited_input, usage.output_tokens)
            self._db.execute("UPDATE pool SET limited_since = NULL WHERE limited_at < ?", (began,))
            for kind, reading in _readings(limits):
                self._learn(kind, reading)
            return self._state()

        return await self.trips.ask(lambda: self._whole(work))

    async def cancel(
        self, booking: int, *, counted: bool, limits: Limits | None = None
    ) -> PoolState:
        """No answer came."""

        def work() -> PoolState:
            self._end(booking, None if counted else 0, None if counted else 0)
            for kind, reading in _readings(limits):
                self._learn(kind, reading)
            return self._state()

        return await self.trips.ask(lambda: self._whole(work))

    async def refuse(
        self,
        booking: int,
        kind: LimitKind,
        wait_s: float,
        *,
        bare: bool = True,
        blame: RefusalBlame = "pool",
    ) -> Refused:
        """A 429 came."""

        def work() -> Refused:
            now = self._now()
            fewer = max(1, self._in_flight() - 1)
            self._end(booking, 0, 0)
            if blame == "row":
                return Refused(self._state(), stops=False)
            self._db.execute(
                "UPDATE pool SET limited_since = coalesce(limited_since, ?), limited_at = ?",
                (now, now),
            )
            if kind == "concurrency":
                self._db.execute("UPDATE pool SET most = min(most, ?)", (fewer,))
            else:
                self._db.execute(
                    "UPDATE pool SET paused_until = max(paused_until, ?)", (now + wait_s,)
                )
            return Refused(self._state(), stops=kind != "concurrency")

        return await self.trips.ask(lambda: self._whole(work))

    async def restart(self) -> None:
        """The pool was away: nothing that was saved up meanwhile is spent at once."""

        def work() -> None:
            self._refill()
            self._db.execute("UPDATE buckets SET level = min(level, 0)")

        await self.trips.ask(lambda: self._whole(work))

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _whole(self, work):  # one transaction
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                answer = work()
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StopRun("E000", f"the store of rate limits cannot be reached: {error}") from error
        return answer

    def _set_up(self, start: PoolStart) -> None:
        if self._db.execute("SELECT count(*) FROM pool").fetchone()[0]:
            return
        self._db.execute("INSERT INTO pool VALUES (?, 0, NULL, 0)", (start.most_in_flight,))
        chosen = start.allowance
        for kind, per_minute, level in (
            ("requests", chosen.requests_per_minute, 1.0),
            ("input", chosen.input_tokens_per_minute, 0.0),
            ("output", chosen.output_tokens_per_minute, 0.0),
        ):
            if per_minute is not None:
                ours = per_minute * start.share
                self._db.execute(
                    "INSERT INTO buckets VALUES (?, ?, ?, ?, ?)",
                    (kind, ours, per_minute, level, self._now()),
                )

    def _admit(self, need: ExpectedUsage) -> Admitted[int] | Delayed:
        now = self._now()
        paused, most = self._db.execute("SELECT paused_until, most FROM pool").fetchone()
        if paused > now:
            return self._delayed(paused - now, "rate limited")
        if self._in_flight() >= most:
            return self._delayed(_LOOK_AGAIN_S, "requests in flight")
        self._refill()
        units = {"requests": 1.0, "input": need.input_tokens, "output": need.output_tokens}
        waits = [
            ((min(units[kind], _capacity(kind, rate)) - level) * 60 / rate, _REASONS[kind])
            for kind, rate, level in self._db.execute("SELECT kind, per_minute, level FROM buckets")
        ]
        seconds, reason = max(waits, default=(0.0, _REASONS["requests"]))
        if seconds > _ROUNDING:
            return self._delayed(seconds, reason)
        before_us = self._db.execute(
            "SELECT min(until) FROM waiting WHERE until > ? AND turn <"
            " coalesce((SELECT turn FROM waiting WHERE user = ?), 1e18)",
            (now - _GRACE_S, self._user),
        ).fetchone()[0]
        if before_us is not None:
            return self._delayed(max(before_us - now, 0.0) + 0.01, reason)
        self._db.execute("DELETE FROM waiting WHERE user = ?", (self._user,))
        for kind, taken in units.items():
            self._db.execute("UPDATE buckets SET level = level - ? WHERE kind = ?", (taken, kind))
        booking = self._db.execute(
            "INSERT INTO bookings (input, output, at) VALUES (?, ?, ?)",
            (need.input_tokens, need.output_tokens, now),
        ).lastrowid
        assert booking is not None
        return Admitted(booking, self._state())

    def _delayed(self, seconds: float, reason: WaitReason) -> Delayed:
        self._db.execute(
            "INSERT INTO waiting VALUES"
            " (?, (SELECT coalesce(max(turn), 0) + 1 FROM waiting), ?)"
            " ON CONFLICT (user) DO UPDATE SET until = excluded.until",
            (self._user, self._now() + seconds),
        )
        return Delayed(seconds, reason, self._state())

    def _end(self, booking: int, input_tokens: float | None, output_tokens: float | None) -> float:
        """Give *booking* back, less the tokens used (None: as booked); when it began. A
        booking that is not there any more changes nothing.
        """
        row = self._db.execute(
            "DELETE FROM bookings WHERE id = ? RETURNING input, output, at", (booking,)
        ).fetchall()
        for input_booked, output_booked, at in row:
            for kind, booked, used in (
                ("input", input_booked, input_tokens),
                ("output", output_booked, output_tokens),
            ):
                given_back = 0 if used is None else booked - used
                self._db.execute(
                    "UPDATE buckets SET level = level + ? WHERE kind = ?", (given_back, kind)
                )
            return float(at)
        return 0.0

    def _refill(self) -> None:
        now = self._now()
        for kind, rate, level, at in self._db.execute(
            "SELECT kind, per_minute, level, at FROM buckets"
        ).fetchall():
            full = min(_capacity(kind, rate), level + (now - at) * rate / 60)
            self._db.execute(
                "UPDATE buckets SET level = ?, at = ? WHERE kind = ?", (full, now, kind)
            )

    def _learn(self, kind: str, reading: LimitReading) -> None:
        if not reading.limit:
            return
        self._refill()
        self._db.execute(
            "UPDATE buckets SET per_minute = CASE WHEN ? THEN min(?, chosen) ELSE ? END"
            " WHERE kind = ?",
            (self._ceiling, reading.limit * self._share, reading.limit * self._share, kind),
        )

    def _in_flight(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM bookings").fetchone()[0])

    def _state(self) -> PoolState:
        rates = dict(self._db.execute("SELECT kind, per_minute FROM buckets").fetchall())
        most, since = self._db.execute("SELECT most, limited_since FROM pool").fetchone()
        return PoolState(
            requests_per_minute=rates.get("requests"),
            input_tokens_per_minute=rates.get("input"),
            output_tokens_per_minute=rates.get("output"),
            in_flight=most,
            limited_s=0.0 if since is None else self._now() - since,
        )


def _capacity(kind: str, per_minute: float) -> float:
    return 1.0 if kind == "requests" else per_minute / 60 * _HOLDS_S


def _readings(limits: Limits | None) -> list[tuple[str, LimitReading]]:
    if limits is None:
        return []
    return [
        ("requests", limits.requests),
        ("input", limits.input_tokens),
        ("output", limits.output_tokens),
    ]
