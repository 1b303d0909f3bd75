"""Lanes of a pass that are through go on with rows that came over from batches, while
other lanes are still at work.

Without it a batch that is given up waits for the slowest pool before its rows are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from claudebatch.engine.engine import Engine
from claudebatch.engine.row_feed import RowFeed

# A lane that cannot go on yet is looked at again after so long.
_LOOK_AGAIN_S = 5.0


class Moving(Protocol):
    """What sends rows by batch, as far as the other road goes."""

    changed: asyncio.Event
    moves: int


@dataclass(frozen=True, slots=True)
class LanesAgain:
    """What a lane needs to go on."""

    lanes: Sequence[str]
    sender: Moving
    feed: Callable[[str], RowFeed]
    """The rows of a lane that are to be sent at once, from the first one on."""
    flush: Callable[[], Awaitable[None]]
    """Waits until all results are written."""
    may_send: Callable[[], bool]

    async def watch(self, engine: Engine) -> None:
        """Let lanes of *engine* go on; to be cancelled when its pass is over."""
        seen = dict.fromkeys(self.lanes, self.sender.moves)
        behind = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S if behind else None):
                    await self.sender.changed.wait()
            self.sender.changed.clear()
            behind = False
            for lane in self.lanes:
                moves = self.sender.moves
                if seen[lane] == moves or not engine.is_through(lane) or not self.may_send():
                    continue
                # Rows whose results are not written yet would be asked again.
                await self.flush()
                if await engine.again(self.feed(lane)):
                    seen[lane] = moves
                else:
                    behind = True
