"""Room in memory for the requests under way whose bodies are large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Of bodies; a request is four times its body while it is made, and twice afterwards.
# More than what rows at rest may take (see `resting.py`): those may wait for minutes,
# and others have to go on beside them.
MOST_BYTES = 96 << 20


class BodyRoom:
    """Bounds the sum of the large bodies under way, of all lanes together.

    Without it, 250 requests in flight with an image of 2 MB each took 850 MB.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        # Mutable: the bodies inside by row, and their sum; whether somebody makes one,
        # and whether one has left since that body was found too large.
        self._sizes: dict[int, int] = {}
        self._inside = 0
        self._making = asyncio.Lock()
        self._left = asyncio.Event()

    @asynccontextmanager
    async def one_at_a_time(self) -> AsyncIterator[None]:
        """Its holder makes a body, and enters with it: at most one body is outside.

        In the order in which they ask.
        """
        async with self._making:
            yield

    async def enter(self, row: int, size: int) -> None:
        """Wait until a body of *size* bytes fits; one larger than all the room waits
        until it is alone. For the holder of `one_at_a_time` only.
        """
        while self._sizes and self._inside + size > self._most:
            self._left.clear()
            await self._left.wait()
        self._inside += size
        self._sizes[row] = size

    def leave(self, row: int) -> None:
        """The request of *row* is over; no matter whether it was inside."""
        self._inside -= self._sizes.pop(row, 0)
        self._left.set()
