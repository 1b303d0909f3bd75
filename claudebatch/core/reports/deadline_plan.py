"""What goes by batch and what is sent at once, so that a deadline holds."""

from __future__ import annotations

from dataclasses import dataclass

from claudebatch.core.domain import Pico


@dataclass(frozen=True, slots=True)
class PlanPart:
    """Rows of one rule and model."""

    model: str
    rule: str
    live_rows: int
    batch_rows: int


@dataclass(frozen=True, slots=True)
class DeadlinePlan:
    """The cheapest split that keeps a deadline. Seconds from now."""

    deadline_s: float
    parts: tuple[PlanPart, ...]
    give_up_s: float | None
    """Batches that have not ended by then are canceled, and their rows sent at once.
    None: nothing goes by batch.
    """
    chance: float
    """That a batch has ended by then."""
    past_batches: int
    """Of this machine; the chance rests on them, and while they are few on the API's
    own words.
    """
    latest_s: float
    expected: Pico
    """By that chance."""
    live_s: float
    """If everything was sent at once."""
    live: Pico

    @property
    def live_rows(self) -> int:
        """Rows that are sent at once."""
        return sum(part.live_rows for part in self.parts)

    @property
    def batch_rows(self) -> int:
        """Rows that go by batch first."""
        return sum(part.batch_rows for part in self.parts)

    @property
    def late(self) -> bool:
        """Whether the deadline is missed even with everything sent at once."""
        return self.live_s > self.deadline_s
