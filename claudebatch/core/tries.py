"""What `max_attempts` counts: the failed attempts of one row, and the outages that
do not count against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from claudebatch.core.answer_form import UnfitAnswers
from claudebatch.core.errors import AttemptError

_NONE: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class RowLimited:
    """The 429s that a row met in a row."""

    number: int
    """Of its last request, in the order in which its pool's left."""
    times: int = 0
    """How many of them count for the row, besides the first."""
    counts: bool = False
    """Whether the last one does."""
    others_served: bool = False
    """Whether a request of another row was let in that left after one of these."""


_NO_429S: Mapping[str, RowLimited] = {}


class RowTries:
    """The attempts of one row, by model, for as long as the row is under way: it may
    wait for an open breaker and come again many times.
    """

    __slots__ = (
        "_bad",
        "_earlier",
        "_earlier_own",
        "_failed",
        "_own",
        "last",
        "limited",
        "limited_since",
        "on_last",
        "over",
        "sent",
        "shown_bad",
        "unfit",
    )

    def __init__(
        self,
        earlier: Mapping[str, int] = _NONE,
        bad: Collection[str] = (),
        limited: Mapping[str, RowLimited] = _NO_429S,
        own: Mapping[str, int] = _NONE,
    ) -> None:
        """*earlier*: how many attempts of earlier sessions count, by model; *bad*: the
        models that had failed the row and answered others after; *limited*: the 429s of
        earlier sessions; *own*: how many of their attempts failed as single rows do,
        those in outages included.
        """
        self._earlier = earlier
        self._earlier_own = own
        self._bad = bad
        # Mutable, changed by the retry layer: when attempts failed in this session, how
        # many were sent, the last error of each model, and of those that are given up.
        self._failed: dict[str, list[float]] = {}
        self._own: Counter[str] = Counter()
        self.sent: dict[str, int] = {}
        self.last: dict[str, AttemptError] = {}
        self.over: dict[str, AttemptError] = {}
        # Models with one attempt left, if the next failure is the row's: by the retry
        # layer.
        self.on_last: set[str] = set()
        # Models that failed the row again while they served others: told by the
        # breaker.
        self.shown_bad: set[str] = set(bad)
        # The 429s of each model: changed by the rate limit layer. And since when they
        # count: by the retry layer.
        self.limited = dict(limited)
        self.limited_since: dict[str, float] = {}
        # What each model answered that did not fit: by the layer of structured answers.
        self.unfit: dict[str, UnfitAnswers] = {}

    def was_bad(self, model: str) -> bool:
        """Whether *model* failed it in an earlier session and answered others after."""
        return model in self._bad

    def earlier(self, model: str) -> int:
        """How many attempts of earlier sessions count."""
        return self._earlier.get(model, 0)

    def has_failed(self, model: str) -> bool:
        """Whether an attempt at *model* has failed, in whatever session."""
        return self.earlier(model) > 0 or self.was_bad(model) or model in self._failed

    def fail(self, model: str, at: float, error: AttemptError) -> None:
        """An attempt at *model* failed, at the moment *at*."""
        self._failed.setdefault(model, []).append(at)
        self._own[model] += is_own(error)
        self.last[model] = error

    def own(self, model: str) -> int:
        """How many attempts at *model* failed as single rows do, whatever was the cause
        then.
        """
        return max(self.earlier(model), self._earlier_own.get(model, 0)) + self._own[model]

    def counted(self, model: str, in_outage: Callable[[float], bool]) -> int:
        """How many attempts at *model* count: all that did not fail in an outage. Those
        of a row that is shown to be bad do, too.
        """
        failed = self._failed.get(model, ())
        all_count = model in self.shown_bad
        return self.earlier(model) + sum(all_count or not in_outage(at) for at in failed)


def is_own(error: AttemptError) -> bool:
    """Whether an attempt failed as those of single rows do."""
    return error.may_be_rows or not error.unavailable


class Outages:
    """When each pool served nobody: written by its breaker, read by those who count
    attempts.
    """

    def __init__(self) -> None:
        # Mutable: by pool, the beginning and end of each outage; the last one's end is
        # None while it goes on. And the pools that only bad rows are left to ask.
        self._known: dict[str, list[tuple[float, float | None]]] = {}
        self._blameless: set[str] = set()

    def began(self, pool: str, since: float) -> None:
        """*pool* has served nothing that was sent after *since*."""
        self._known.setdefault(pool, []).append((since, None))

    def ended(self, pool: str, at: float) -> None:
        """It serves again."""
        known = self._known.get(pool)
        if known and known[-1][1] is None:
            known[-1] = (known[-1][0], at)

    def blame(self, pool: str, *, rows: bool) -> None:
        """Whether only bad *rows* are left to ask *pool*: then what goes on is no
        outage.
        """
        if not rows:
            self._blameless.discard(pool)
            return
        known = self._known.get(pool)
        if known and known[-1][1] is None:
            known.pop()
        self._blameless.add(pool)

    def blameless(self, pool: str) -> bool:
        """Whether its rows are to blame: their retries are no storm."""
        return pool in self._blameless

    def held(self, pool: str, at: float) -> bool:
        """Whether *pool* was out at the moment *at*, as far as is known by now."""
        return any(
            since <= at and (until is None or at <= until)
            for since, until in self._known.get(pool, ())
        )
