"""A call with its marks for the API's prompt cache, and the beginnings that it
shares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from claudebatch.core.domain import Call
from claudebatch.core.frozen import value


@value
class PlacedCall:
    """A call as it is to be sent."""

    call: Call
    """Its body has `cache_control` where something is to be cached."""
    beginning: bytes | None
    """The digest (16 bytes) of all that must be equal for a read: model, betas, tools,
    system and message blocks up to the last mark, without the marks themselves, and the
    fields that change the cache; None: nothing is to be cached.
    """
    ttl_s: float
    """Seconds for which the API keeps that entry after its last use."""
    shorter: tuple[bytes, ...] = ()
    """The digests of the beginnings that end at its earlier marks, the shortest
    first.
    """

    rows: int = 0
    """So many rows share the longest of them, as far as a plan tells; 0: there is
    none.
    """

    @property
    def chain(self) -> tuple[bytes, ...]:
        """All its beginnings, the shortest first."""
        return () if self.beginning is None else (*self.shorter, self.beginning)

    def shared_by(self, rows: int) -> PlacedCall:
        """The same, shared by so many *rows*."""
        return PlacedCall(self.call, self.beginning, self.ttl_s, self.shorter, rows)


Place: TypeAlias = Callable[[Call], PlacedCall]
"""Says what of a call is to be cached. Asked before each attempt: pure, and quick where
there is nothing.
"""


def nothing_placed(call: Call) -> PlacedCall:
    """A `Place` that leaves calls as they are, and has none of them wait."""
    return PlacedCall(call, None, 0.0)
