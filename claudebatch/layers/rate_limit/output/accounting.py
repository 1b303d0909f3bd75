"""How the API counts output: while it is produced, as its documentation has it, or all
at once when an answer is ready.

The documentation is believed until headers or a refusal contradict it. Where the bucket
holds little, the two ways of counting leave different amounts in it at nearly any
moment; a limiter that keeps to both uses three quarters of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from claudebatch.layers.rate_limit.output.constants import ERROR_SHARE, FADING, REFUTED, SETTLED


@dataclass(frozen=True, slots=True)
class CompetingLevels:
    """What is left by one way of counting: *level*, or more by up to *margin*."""

    level: float
    margin: float

    def off(self, remaining: float, *, step: float, holds: float) -> float:
        """Whether a header of *remaining*, rounded to *step*, contradicts it: from 0 to
        1.
        """
        above = self.level - (remaining + step / 2)
        below = (remaining - step / 2) - (self.level + self.margin) if remaining > 0 else 0.0
        return min(1.0, max(0.0, max(above, below) / holds - ERROR_SHARE) / (2 * ERROR_SHARE))


class OutputAccounting:
    """Weighs what headers say against both mirrors."""

    def __init__(self) -> None:
        # Mutable, changed by the methods below only: above 0 for while it is produced,
        # below for at its end.
        self._score = 0.0

    @property
    def doubted(self) -> bool:
        """It may count when its answer is ready."""
        return self._score <= -1

    @property
    def at_end(self) -> bool:
        """It does, beyond doubt."""
        return self._score <= -REFUTED

    def weigh(
        self,
        remaining: float,
        *,
        produced: CompetingLevels,
        arrived: CompetingLevels,
        step: float,
        holds: float,
    ) -> None:
        """A header says that *remaining* are left of a bucket that holds so much."""
        apart = arrived.off(remaining, step=step, holds=holds) - produced.off(
            remaining, step=step, holds=holds
        )
        self._score = max(-SETTLED, min(SETTLED, FADING * self._score + apart))

    def explains(self, *, produced: float, arrived: float) -> bool:
        """A request met a 429, with so much left by either way of counting: whether
        that is a matter of accounting.
        """
        if self.at_end or not arrived < 1 <= produced:
            return False
        self._score = -SETTLED
        return True
