"""The shared server for commands that look at it: all of its parts together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from claudebatch.config.settings import Settings
from claudebatch.core.domain import usd_text
from claudebatch.core.drain import Drain
from claudebatch.core.reports.shared_left import SharedLeft
from claudebatch.core.reports.shared_money import UntoldSpend
from claudebatch.core.reports.shared_state import SharedState
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.redis_caps_look import release, shared_caps
from claudebatch.layers.budget.redis_untold import untold
from claudebatch.layers.rate_limit.redis_pool_look import free_bookings, shared_pools
from claudebatch.layers.response_cache.redis_answers_look import shared_answers
from claudebatch.setup.shared_server import open_shared
from claudebatch.setup.stores import known_of_all
from claudebatch.storage.ledger.known_spend import known_spend
from claudebatch.storage.shared_server.redis_server import RedisServer
from claudebatch.storage.shared_server.settings import SharedSettings


class SharedView:
    """A look at the shared server; raises as `RedisServer` does."""

    def __init__(
        self,
        server: RedisServer,
        settings: SharedSettings,
        caps: Sequence[SharedCap],
        *,
        today: str,
        ledger: Path,
    ) -> None:
        self._server = server
        self._settings = settings
        self._caps = caps
        self._today = today
        self._ledger = ledger

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        scope: str,
        rng: random.Random,
        now: Callable[[], float],
        today: str,
        ledger: Path,
    ) -> SharedView:
        """The one that *settings* name; *today* is the UTC day, *ledger* this
        machine's.
        """
        server = open_shared(
            settings.shared,
            scope=scope,
            rng=rng,
            waits=Drain(),
            now=now,
            # Nobody waits for it: what it says is told at once.
            max_outage_s=0.0,
            notify=lambda notice: None,
        )
        if server is None or settings.shared is None:
            raise ValueError("no server is configured")
        caps = settings.budget.shared
        return cls(server, settings.shared, caps, today=today, ledger=ledger)

    async def state(self) -> SharedState:
        """All that stands there."""
        seen = await shared_caps(self._server, self._caps, self._today)
        return SharedState(
            self._settings.shown,
            self._settings.account,
            pools=tuple(await shared_pools(self._server)),
            caps=tuple(seen.levels),
            runs=tuple(seen.runs),
            answers=await shared_answers(self._server),
            grants_in_s=seen.grants_in_s,
            untold=tuple(await self.untold()),
        )

    async def untold(self) -> list[UntoldSpend]:
        """What this machine's ledger knows and the server does not; nothing where it
        shares no cap. Changes nothing.
        """
        if not (self._caps and self._ledger.exists()):
            return []
        return await untold(self._server, await asyncio.to_thread(known_spend, self._ledger))

    async def restore(self) -> list[UntoldSpend]:
        """Tell the server what `untold` found, what dead runs held included."""
        known = await asyncio.to_thread(known_of_all, self._ledger)
        return await untold(self._server, known, tell=True)

    async def release(self, left: SharedLeft, *, free: bool) -> dict[str, Any]:
        """End what is *left*; returns what became of it, as JSON."""
        runs = []
        for run in left.runs:
            done = await release(self._server, run.run, free=free)
            # Alive again meanwhile: then it is nobody's to take.
            if done is not None:
                runs.append(
                    {
                        "run": run.run,
                        "requests": done.holds,
                        "released_usd": usd_text(done.amount),
                        "given_back_usd": usd_text(done.given_back),
                    }
                )
        freed = await free_bookings(self._server, left.processes) if left.processes else 0
        return {"runs": runs, "in_flight": freed, "maybe_billed": not free}

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()
