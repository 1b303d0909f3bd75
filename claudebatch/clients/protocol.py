"""The promise of every client, whichever API or library stands behind it."""

from __future__ import annotations

from typing import Protocol

from claudebatch.core.domain import Call
from claudebatch.core.handler import Handler


class Client(Handler, Protocol):
    """The innermost handler, with connections to close."""

    async def count(self, call: Call) -> int | None:
        """Input tokens of *call* as the API counts them; None where it cannot."""
        ...

    async def objection(self, call: Call) -> str | None:
        """What the API has against the input of *call*; None: nothing."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
