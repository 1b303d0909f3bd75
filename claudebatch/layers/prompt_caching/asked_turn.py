"""A request that shares beginnings, and its turn or its place in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from claudebatch.layers.prompt_caching.beginning import Beginning, Waiter


@dataclass(frozen=True, slots=True)
class Asks:
    """A request that shares beginnings."""

    row: int
    model: str
    digests: Sequence[bytes]
    """Of its beginnings, the shortest first."""
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """A request has to wait."""

    beginning: Beginning
    """In whose line."""
    lines: dict[Beginning, None]
    for_answer: bool
    """For the answer of a row that goes ahead; else for its turn to be sent."""

    def stand(self, waiter: Waiter) -> None:
        """*waiter* stands in line."""
        self.lines.setdefault(self.beginning)
        self.beginning.wait(waiter)


@dataclass(slots=True, eq=False)
class CacheTurn:
    """One request that shares beginnings, from its turn to its answer."""

    row: int
    model: str
    chain: tuple[Beginning, ...] = ()
    """Those that it is sent with marks for, the shortest first."""
    led: tuple[Beginning, ...] = ()
    """Those of which it goes ahead; the others are there already."""
    probed: tuple[Beginning, ...] = ()
    """Of these, the ones that are there, too, if the API keeps its word: its answer
    must show that they were read.
    """
    cached: float = 0.0
    """Tokens of its prompt, as calls are estimated, that it is expected to read."""
    free: bool = False
    """Whether nobody waits for anybody: the API tells of no cache."""
    # Mutable, set by the layer: the digest of all that it shares; the tokens of its
    # prompt, as calls are estimated; and whether the others find out by a request
    # without output, if its answer does not begin in time.
    beginning: bytes = b""
    estimated: int = 0
    hurries: bool = False
    head_s: float | None = None
    """Seconds after which its answer began; None: nobody saw it begin."""
    # Mutable, changed by `Turns` only: when it left; None: not yet. And whether its
    # answer has told what became of the beginnings.
    left_at: float | None = None
    granted: bool = False
    """Whether it is one of the few in the limiter's line."""
    told: bool = False
    gave_up: bool = False
    """Whether it was the last that was tried of a beginning that is not read."""

    @property
    def read(self) -> tuple[Beginning, ...]:
        """Those that its request is to read."""
        return tuple(one for one in self.chain if one not in self.led)
