"""The store of a pool's rate limits, as the layer above it sees it: what is left of the
limits, which attempts hold a part of them, and what answers say about them.

A store on another host fits behind these methods: one round trip admits an attempt, one
ends it. So each answer carries the limits in force, and nothing is asked of a store
between its answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

from claudebatch.core.domain import AnswerObserver, Usage
from claudebatch.core.errors import LimitKind
from claudebatch.core.events import WaitReason
from claudebatch.core.frozen import value
from claudebatch.core.limit_headers import Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from claudebatch.layers.rate_limit.limiter import PoolAllowance

BookingT = TypeVar("BookingT")

RefusalBlame: TypeAlias = Literal["pool", "maybe row", "row"]
"""Whom a 429 is about. maybe row: other rows of this pool are refused for their own
sake; row: this one is, while others are answered.
"""


@dataclass(frozen=True, slots=True)
class PoolStart:
    """The limits with which a pool begins, before any answer has stated them."""

    name: str
    allowance: PoolAllowance
    in_flight: int
    """Requests that may be in flight at first."""
    most_in_flight: int
    cautious: bool = False
    """The limits are a guess until an answer states them."""
    ceiling: bool = False
    """The limits were chosen, and no answer raises them."""
    share: float = 1.0
    """The share of each limit that is ours to use."""
    watch_output: bool = True
    """Whether answers may be streamed so that the limiter sees what is being produced.
    """


@value
class PoolState:
    """What limits a pool at the moment of a store's answer; None: not limited."""

    requests_per_minute: float | None
    input_tokens_per_minute: float | None
    output_tokens_per_minute: float | None
    in_flight: int
    """Requests that may be in flight at once."""
    limited_s: float = 0.0
    """Seconds since the first 429 after the last answer; 0 when an answer came last."""

    def same_rates(self, other: PoolState) -> bool:
        """Whether requests and tokens per minute are those of *other*."""
        return (
            self.requests_per_minute == other.requests_per_minute
            and self.input_tokens_per_minute == other.input_tokens_per_minute
            and self.output_tokens_per_minute == other.output_tokens_per_minute
        )


class AnswerTracker(AnswerObserver, Protocol):
    """Follows one answer while it comes, and remembers how far it came."""

    @property
    def heard(self) -> bool:
        """Whether its head came, and was made use of."""
        ...

    @property
    def shown(self) -> int:
        """Bytes of text that came."""
        ...

    @property
    def hidden(self) -> bool:
        """Whether tokens came that are not in that text."""
        ...


@value
class Admitted(Generic[BookingT]):
    """The attempt may be sent."""

    booking: BookingT
    """Given back exactly once, by `settle`, `cancel` or `refuse`."""
    state: PoolState
    tracker: AnswerTracker | None = None
    """Follows the answer while it comes. None: the store learns at its end only, as a
    store on another host does; text comes many times a second.
    """
    leaves_in_s: float = 0.0
    """Seconds until it may be sent: a moment, in which the next one is admitted."""
    behind: tuple[Admitted[BookingT] | Delayed, ...] = ()
    """What was answered for those behind it: of the first ones, in their order."""


@value
class Delayed:
    """The attempt may not be sent yet, and holds nothing."""

    seconds: float
    """When to ask again, unless another attempt ends before."""
    reason: WaitReason
    state: PoolState
    freed_by_ends: bool = True
    """Whether another attempt's end may let it go sooner."""


@value
class Refused:
    """A 429 was taken note of."""

    state: PoolState
    stops: bool
    """Whether it stops the pool. Else it is its row's alone to wait for."""


class LimiterStore(Protocol[BookingT]):
    """The rate limits of one pool, shared by all that use this store.

    Each method happens whole or not at all, also when it is called off: a cancelled
    `admit` leaves nothing booked, and a cancelled `settle`, `cancel` or `refuse` has
    given the booking back. A store that fails raises a `StopRun`.
    """

    @property
    def name(self) -> str:
        """The pool's name."""
        ...

    async def admit(
        self, need: ExpectedUsage, behind: Iterable[ExpectedUsage] = ()
    ) -> Admitted[BookingT] | Delayed:
        """Take all that an attempt needs, or nothing and say when to ask again.

        *behind*: the needs of those that come next, for a store that is a round trip
        away; it may answer for some of them, too.
        """
        ...

    async def settle(self, booking: BookingT, usage: Usage, limits: Limits | None) -> PoolState:
        """An answer came; *limits*: its headers, where the tracker has not had them."""
        ...

    async def cancel(
        self, booking: BookingT, *, counted: bool, limits: Limits | None = None
    ) -> PoolState:
        """No answer came; *counted*: the API may have counted the tokens nevertheless;
        *limits*: the headers of its refusal, which is the request's own fault.
        """
        ...

    async def refuse(
        self,
        booking: BookingT,
        kind: LimitKind,
        wait_s: float,
        *,
        bare: bool = True,
        blame: RefusalBlame = "pool",
    ) -> Refused:
        """A 429 came. One about requests in flight lowers their number; any other may
        stop the pool for *wait_s*, for all that use this store; one that is its row's
        own changes nothing. *bare*: its headers show no limit that is nearly used up.
        """
        ...

    async def restart(self) -> None:
        """The pool was away: start as gently as at the beginning."""
        ...
