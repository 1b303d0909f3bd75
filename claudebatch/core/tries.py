"""What `max_attempts` counts: the failed attempts of one row, and the outages that
do not count against it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from claudebatch.core.errors import AttemptError

_NONE: Mapping[str, int] = {}


class RowTries:
    """The attempts of one row, by model, for as long as the row is under way: it may
    wait for an open breaker and come again many times.
    """

    __slots__ = ("_bad", "_earlier", "_failed", "over", "sent")

    def __init__(self, earlier: Mapping[str, int] = _NONE, bad: Collection[str] = ()) -> None:
        """*earlier*: how many attempts of earlier sessions count, by model; *bad*: the
        models that had failed the row and answered others after.
        """
        self._earlier = earlier
        self._bad = bad
        # Mutable, changed by the retry layer: when attempts failed in this session, how
        # many were sent, and the last error of each model that is given up.
        self._failed: dict[str, list[float]] = {}
        self.sent: dict[str, int] = {}
        self.over: dict[str, AttemptError] = {}

    def was_bad(self, model: str) -> bool:
        """Whether *model* failed it in an earlier session and answered others after."""
        return model in self._bad

    def earlier(self, model: str) -> int:
        """How many attempts of earlier sessions count."""
        return self._earlier.get(model, 0)

    def has_failed(self, model: str) -> bool:
        """Whether an attempt at *model* has failed, in whatever session."""
        return self.earlier(model) > 0 or self.was_bad(model) or model in self._failed

    def fail(self, model: str, at: float) -> None:
        """An attempt at *model* failed, at the moment *at*."""
        self._failed.setdefault(model, []).append(at)

    def counted(self, model: str, in_outage: Callable[[float], bool]) -> int:
        """How many attempts at *model* count: all that did not fail in an outage."""
        here = sum(not in_outage(at) for at in self._failed.get(model, ()))
        return self.earlier(model) + here


class Outages:
    """When each pool served nobody: written by its breaker, read by those who count
    attempts.
    """

    def __init__(self) -> None:
        # Mutable: by pool, the beginning and end of each outage; the last one's end is
        # None while it goes on.
        self._known: dict[str, list[tuple[float, float | None]]] = {}

    def began(self, pool: str, since: float) -> None:
        """*pool* has served nothing that was sent after *since*."""
        self._known.setdefault(pool, []).append((since, None))

    def ended(self, pool: str, at: float) -> None:
        """It serves again."""
        known = self._known.get(pool)
        if known and known[-1][1] is None:
            known[-1] = (known[-1][0], at)

    def held(self, pool: str, at: float) -> bool:
        """Whether *pool* was out at the moment *at*, as far as is known by now."""
        return any(
            since <= at and (until is None or at <= until)
            for since, until in self._known.get(pool, ())
        )
