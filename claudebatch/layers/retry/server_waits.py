"""How long a run bears the waits that a server asks for while it serves nothing.

A server may name any time, and the rows that wait for it keep the breaker from seeing
an outage: nobody asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from claudebatch.layers.retry.settings import SHORTEST_WAIT_S

# While other rows are under way that may still be answered.
_LOOK_AGAIN_S = 1.0


class ServerWaits:
    """One pool: since when it answers nothing, and how many of its rows are under
    way.
    """

    def __init__(self, max_outage_s: float) -> None:
        self._max_outage_s = max_outage_s
        # Mutable, changed by the methods below only: when trouble began, the rows that
        # are in it, and those under way. Without such rows nobody was waiting for an
        # answer, however long ago the last one came.
        self._since: float | None = None
        self._failed: set[int] = set()
        self._out = 0

    def sent(self) -> None:
        """A row goes on its way."""
        self._out += 1

    def is_back(self) -> None:
        """It is back, with whatever came of it."""
        self._out -= 1

    def answered(self, now: float) -> None:
        """The API works, whatever it said."""
        self._since = now if self._failed else None

    def failed(self, row: int, now: float) -> None:
        """The API did not answer *row*."""
        self._failed.add(row)
        if self._since is None:
            self._since = now

    def left(self, row: int) -> None:
        """*row* is asked no more, for now."""
        self._failed.discard(row)
        if not self._failed:
            self._since = None

    def silent_s(self, now: float) -> float:
        """Seconds for which rows have failed, and none was answered."""
        return 0.0 if self._since is None else now - self._since

    async def passed(
        self,
        seconds: float,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> bool:
        """Wait *seconds*; False: nothing was answered meanwhile for longer than the run
        bears, and no other row is under way that may be.
        """
        until = now() + seconds
        while (left_s := until - now()) > 0:
            patience_s = self._max_outage_s - self.silent_s(now())
            if patience_s <= 0 and not self._out:
                return False
            # Past the end of the patience, not on it.
            look_s = patience_s + SHORTEST_WAIT_S if patience_s > 0 else _LOOK_AGAIN_S
            if left_s <= look_s:
                await sleep(left_s)
                return True
            await sleep(look_s)
        return True
