"""What goes by batch and what is sent at once, so that a deadline holds."""

from __future__ import annotations

from dataclasses import dataclass

from claudebatch.core.domain import Pico, RowKind


@dataclass(frozen=True, slots=True)
class PlanPart:
    """Rows of one rule and model that a plan may treat alike."""

    model: str
    rule: str
    live_rows: int
    batch_rows: int
    kind: RowKind = "waits"
    pool: str = ""
    """Of the limits that they take from."""
    seconds: float = 0.0
    """What all of them take of the pool's time, sent at once."""
    weight: float = 0.0
    """Of all of them; a row has its part of the time by it."""
    live: Pico = 0
    """Expected dollars of all of them, at once."""
    batch: Pico = 0
    """The same by batch."""

    @property
    def rows(self) -> int:
        """All of them."""
        return self.live_rows + self.batch_rows


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
    margin_s: float = 0.0
    """Of the time to the deadline, so much is planned to be left over."""
    cancel_s: float = 0.0
    """So much is kept for the end of batches that are canceled."""
    start_s: float = 0.0
    """To the first answer."""
    left: Pico | None = None
    """Dollars that may still be spent; None: any."""

    @property
    def live_rows(self) -> int:
        """Rows that are sent at once."""
        return sum(part.live_rows for part in self.parts)

    @property
    def batch_rows(self) -> int:
        """Rows that go by batch first, or are in one."""
        return sum(part.batch_rows for part in self.parts)

    @property
    def late(self) -> bool:
        """Whether the deadline is missed even with everything sent at once."""
        return self.live_s > self.deadline_s

    @property
    def short(self) -> bool:
        """Whether the cap may stop some rows: not all can be paid for at once."""
        return self.left is not None and self.live > self.left

    @property
    def by_batch(self) -> Pico:
        """Expected dollars of the rows that go by batch, where these end in time."""
        return sum(part.batch * part.batch_rows // part.rows for part in self.parts if part.rows)

    @property
    def at_once(self) -> Pico:
        """Expected dollars of the rows that are sent at once."""
        return sum(part.live * part.live_rows // part.rows for part in self.parts if part.rows)

    @property
    def at_once_s(self) -> float:
        """When the rows that are sent at once are answered."""
        shares = {
            number: part.live_rows / part.rows
            for number, part in enumerate(self.parts)
            if part.live_rows
        }
        return self.start_s + self.busy_s(shares) if shares else 0.0

    def busy_s(self, shares: dict[int, float]) -> float:
        """Seconds of the busiest pool that sends *shares* of the parts, by their
        number.
        """
        # Pools do not wait for each other; the parts of one pool do.
        times: dict[str, float] = {}
        for number, share in shares.items():
            part = self.parts[number]
            times[part.pool] = times.get(part.pool, 0.0) + part.seconds * share
        return max(times.values(), default=0.0)
