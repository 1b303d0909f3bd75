"""Whose fault a refusal is: the row's, or the command's, which no row is charged with.

Refused alike and none answered: then the command is at fault (an address, a model, a
parameter), and the run stops. Its refused rows stay to be done, because the command
that is put right answers them. So a refusal is held back until an answer to a later
request shows that it is the row's own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

from claudebatch.core.domain import Call, Reply
from claudebatch.core.errors import (
    AccountRefused,
    ApiUnavailable,
    AttemptError,
    Blocked,
    CommandRefused,
    NotServed,
    PathFault,
    RateLimited,
    StopRun,
)
from claudebatch.core.handler import Handler
from claudebatch.engine.outage_suspects import OutageSuspects, RefusedRow, is_fault_of_the_api

FIRST_REFUSALS = 5
"""So many equal refusals and not one answer stop a run: fewer may be the first rows'
own, more would only cost time.
"""
_FIRST_BLOCKED = 15
"""So many requests that a firewall refuses do, too, tried once or twice: at the pace of
a start, five rows that are tried twice would take longer than half a minute.
"""
UNTRIED_WORKERS = 24
"""Workers of a lane until the API has answered any: were there more, a wrong command
would send a thousand requests before the first refusal is back.
"""
# Failures that differ are the rows' own, so they need not wait for an answer for ever.
_MOST_HELD = 1000
_LONGEST_WORDS = 300
# What differs from row to row in refusals that are equal: quotes, numbers, ids.
_QUOTED = re.compile(r'"[^"]*"|`[^`]*`|(?<!\w)\'[^\']*\'(?!\w)')
_NUMBERED = re.compile(r"\S*\d\S*")

RefusalKind: TypeAlias = tuple[int | None, str, str]


def kind_of(error: AttemptError) -> RefusalKind:
    """Equal for refusals that say the same of different rows."""
    if is_fault_of_the_api(error):
        return error.status, error.type, ""
    words = _NUMBERED.sub("#", _QUOTED.sub('""', error.message))
    return error.status, error.type, words[:_LONGEST_WORDS]


def is_refusal(error: AttemptError) -> bool:
    """Whether an answered request was turned down, so that asking again is no use."""
    if isinstance(error, Blocked):
        return True
    return error.status is not None and not error.retryable


class RefusalWatch:
    """Fed with what becomes of attempts and rows; knows neither clock nor network."""

    def __init__(
        self, *, stop_after: int = 20, max_outage_s: float = 900.0, answered_before: bool = False
    ) -> None:
        """*stop_after*: so many equal failures without an answer between them stop the
        run; 0: never. *answered_before*: earlier sessions of the run had answers.
        """
        self._stop_after = stop_after
        self._max_outage_s = max_outage_s
        # Mutable, changed by the methods below only.
        self.proven = False
        """Whether the API has answered, or failed in a way that passes."""
        self._answered_ever = answered_before
        self._answered_now = False
        self._good_at = float("-inf")
        self._held: list[RefusedRow] = []
        self._suspects = OutageSuspects()
        self._alike: Counter[RefusalKind] = Counter()
        self._blocked_alike: Counter[RefusalKind] = Counter()
        self._path_since: float | None = None
        self._path_faults: Counter[RefusalKind] = Counter()
        self._stopped_for: RefusalKind | None = None

    def answered(self, began: float, model: str) -> None:
        """An attempt at *model* that *began* then was answered."""
        self.proven = self._answered_ever = self._answered_now = True
        self._good_at = max(self._good_at, began)
        self._suspects.answered(began, model)
        self._alike.clear()
        self._path_faults.clear()
        self._path_since = None

    def attempt_failed(self, error: AttemptError, now: float) -> StopRun | None:
        """An attempt failed; returns why the run is to stop, if it is."""
        if isinstance(error, Blocked):
            return self._blocked(error)
        if not isinstance(error, PathFault):
            # One that passes shows nothing against the command.
            passes = error.retryable and not isinstance(error, RateLimited)
            self.proven = self.proven or passes
            return None
        if self._path_since is None:
            self._path_since = now
        self._path_faults[kind_of(error)] += 1
        first = not self._answered_now and self._stop_after > 0
        alike = self._path_faults[kind_of(error)]
        # The breaker's patience, also where too few rows are left to open it.
        if now - self._path_since > self._max_outage_s or (first and alike >= self._limit(first)):
            return _path_stop(error)
        return None

    def refused(self, row: RefusedRow) -> StopRun | None:
        """A row was refused and is held back; returns why the run is to stop, if it
        is.
        """
        kind = kind_of(row.error)
        if kind == self._stopped_for:
            return None  # it came while the run stops for it: not charged to the row
        if is_fault_of_the_api(row.error) and self._answered_ever and self._stop_after > 0:
            # The breaker waits until it is over, or ends the run.
            self._suspects.hold(row)
            return self._stop_for(row, len(self._suspects)) if self._suspects.full else None
        # Equal prompts share one request and its error: one refusal, not many.
        shared = any(held.error is row.error for held in self._held)
        self._held.append(row)
        self._alike[kind] += not shared
        first = not self._answered_ever
        limit = self._limit(first)
        if not 0 < limit <= self._alike[kind] or self._stopped_for is not None:
            return None
        return self._stop_for(row, self._alike[kind], first=first)

    def _stop_for(self, row: RefusedRow, count: int, *, first: bool = False) -> StopRun:
        self._stopped_for = kind = kind_of(row.error)
        self._held = [
            held for held in self._held if held.at <= self._good_at or kind_of(held.error) != kind
        ]
        return _stop(row.error, count, first=first)

    def _blocked(self, error: Blocked) -> StopRun | None:
        kind = kind_of(error)
        self._blocked_alike[kind] += 1
        few = self._answered_ever or self._blocked_alike[kind] < _FIRST_BLOCKED
        if few or self._stop_after == 0 or self._stopped_for is not None:
            return None
        self._stopped_for = kind
        self._held = [held for held in self._held if kind_of(held.error) != kind]
        return _stop(error, self._blocked_alike[kind], first=True)

    @property
    def holds(self) -> bool:
        """Whether any refused row is not judged yet."""
        return bool(self._held) or bool(self._suspects)

    def suspects(self, row: RefusedRow) -> bool:
        """Whether *row* may have met an outage, as far as is known."""
        return any(held is row for held in self._suspects.held)

    def ripe(self) -> list[RefusedRow]:
        """The rows whose refusals turned out to be their own: each is returned once."""
        suspects = self._suspects.own() if self._suspects else []
        return [*self._ripe(), *suspects]

    def again(self) -> list[RefusedRow]:
        """The rows that an outage hit which is over: each is returned once."""
        return self._suspects.again()

    def _ripe(self) -> list[RefusedRow]:
        if not self._held:
            return []
        spare = 0 if self._stop_after == 0 else _MOST_HELD
        extra = len(self._held) - spare
        ripe = [row for n, row in enumerate(self._held) if row.at <= self._good_at or n < extra]
        if ripe:
            self._held = [row for row in self._held if row not in ripe]
        return ripe

    def nothing_left(self) -> StopRun | None:
        """Every row was asked; returns why the run is to stop, if it is: the last ones
        met what may be an outage.
        """
        suspects = self._suspects.held
        if not 0 < self._stop_after <= len(suspects):
            return None
        return self._stop_for(suspects[-1], len(suspects))

    def rest(self, *, stopped: bool = False) -> list[RefusedRow]:
        """At the end: those that are left, and that nothing was found against. Of a run
        that is *stopped*, an outage may have hit those that the API failed: they stay
        to be done.
        """
        rest, self._held = [*self._held, *self._suspects.held], []
        self._suspects = OutageSuspects()
        return [row for row in rest if not (stopped and is_fault_of_the_api(row.error))]

    def _limit(self, first: bool) -> int:
        return min(FIRST_REFUSALS, self._stop_after) if first else self._stop_after


class WatchedClient:
    """The client, with a watch on what becomes of its attempts."""

    def __init__(
        self,
        client: Handler,
        watch: RefusalWatch,
        *,
        now: Callable[[], float],
        news: Callable[[StopRun | None], None],
    ) -> None:
        """*news* is called after each attempt, with why the run is to stop, if it
        is.
        """
        self._client = client
        self._watch = watch
        self._now = now
        self._news = news

    async def __call__(self, call: Call) -> Reply:
        """The client's reply."""
        began = self._now()
        try:
            reply = await self._client(call)
        except AttemptError as error:
            self._news(self._watch.attempt_failed(error, self._now()))
            raise
        self._watch.answered(began, call.model)
        self._news(None)
        return reply


def _path_stop(error: AttemptError) -> StopRun:
    return ApiUnavailable(
        "E704",
        f"the API cannot be reached: {_said(error)}",
        fix="log in to the network, or check ANTHROPIC_BASE_URL and proxy, then run the same "
        "command",
    )


def _stop(error: AttemptError, count: int, *, first: bool) -> StopRun:
    which = f"the first {count}" if first else f"{count} rows in a row"
    if is_fault_of_the_api(error):
        return ApiUnavailable(
            "E721",
            f"{which} failed the same way, not to be tried again, and are still pending: "
            f"{_said(error)}",
            fix="wait until the API is back, then run the same command, or let rows fail one by "
            "one with --stop-after 0",
        )
    if error.type == "bad_answer":
        return ApiUnavailable(
            "E720",
            f"{which} got answers that nobody can read, and are still pending: {_said(error)}",
            fix="check what is at ANTHROPIC_BASE_URL, or let rows fail one by one with "
            "--stop-after 0",
        )
    said = f"{which} were refused the same way and are still pending: {_said(error)}"
    if isinstance(error, Blocked):
        return AccountRefused(
            "E705",
            said,
            fix="allow these requests in the firewall or proxy, or let rows fail one by one with "
            "--stop-after 0",
        )
    return CommandRefused("E706", said, fix=_hint(error))


def _hint(error: AttemptError) -> str:
    if isinstance(error, NotServed) and error.status == 404:
        return "`claudebatch models` lists the models: name one that exists (-m, model)"
    if error.status in (404, 405):
        return "check ANTHROPIC_BASE_URL"
    return "change what it names (option, setting or line), or go on with --stop-after 0"


def _said(error: AttemptError) -> str:
    status = "" if error.status is None or str(error.status) in error.message else error.status
    return f"{status} {error.message}".strip()
