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
    """One pool: when it last answered, and how many of its rows are under way."""

    def __init__(self, max_outage_s: float, *, now: float) -> None:
        self._max_outage_s = max_outage_s
        # Mutable, changed by the methods below only.
        self._answered_at = now
        self._out = 0

    def sent(self) -> None:
        """A row goes on its way."""
        self._out += 1

    def is_back(self, now: float, *, answered: bool) -> None:
        """It is back; *answered*: the API works, whatever it said."""
        self._out -= 1
        if answered:
            self._answered_at = now

    def silent_s(self, now: float) -> float:
        """Seconds without an answer."""
        return now - self._answered_at

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
