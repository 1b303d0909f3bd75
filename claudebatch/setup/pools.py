"""The pools of a run: which limits each one starts with, and how many requests it may
have in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from claudebatch.layers.rate_limit.limiter import PoolLimiter
from claudebatch.layers.rate_limit.local_pool import make_limiter
from claudebatch.layers.rate_limit.settings import PoolLimits, RateLimitSettings
from claudebatch.layers.rate_limit.store import LimiterStore, PoolStart
from claudebatch.models.catalog import FAST_POOL, Catalog, TierLimits
from claudebatch.setup.stores import open_pool
from claudebatch.storage.shared_server.redis_server import ScriptServer

# More than any published tier can use; each one is a worker and a connection.
MOST_IN_FLIGHT = 1000
# Enough for the lowest tiers at usual latencies; more come as they are needed.
_FIRST_IN_FLIGHT = 64
# Under `limits: auto`, the pace of the lowest published tier until answers tell the
# account's own, and where a gateway strips their headers.
_AUTO_TIER = "start"


class Pools:
    """One `LimiterStore` per pool of models, opened when first used."""

    def __init__(
        self,
        limits: RateLimitSettings,
        catalog: Catalog,
        *,
        now: Callable[[], float],
        most_in_flight: int | None = None,
        shared: ScriptServer | None = None,
    ) -> None:
        """*shared*: the server where the limits stand, if not in this process."""
        self._shared = shared
        self._limits = limits
        self._most_in_flight = most_in_flight
        self._catalog = catalog
        self._now = now
        # Mutable: filled as models are used.
        self._pools: dict[str, LimiterStore[Any]] = {}

    def of(self, model: str) -> LimiterStore[Any]:
        """The pool that *model* belongs to, or its fast mode (see `limited_as`)."""
        name = self._catalog.pool_of(model)
        pool = self._pools.get(name)
        if pool is None:
            start = pool_start(self._limits, self._catalog, name, most=self._most_in_flight)
            pool = self._pools[name] = open_pool(start, now=self._now, shared=self._shared)
        return pool

    async def restart(self, pool: str) -> None:
        """*pool* was away: it comes back gently."""
        if pool in self._pools:
            await self._pools[pool].restart()


def make_pace(limits: RateLimitSettings, catalog: Catalog, pool: str, *, now: float) -> PoolLimiter:
    """How fast *pool* may be asked, beginning *now*."""
    return make_limiter(pool_start(limits, catalog, pool), now=now)


def pool_start(
    limits: RateLimitSettings, catalog: Catalog, pool: str, *, most: int | None = None
) -> PoolStart:
    """The limits with which *pool* begins; *most* requests in flight, whatever the
    configuration says.
    """
    chosen = limits.pools.get(pool)
    in_flight, most_in_flight = slots(limits, most)
    return PoolStart(
        pool,
        chosen or _starts_with(limits, catalog, pool),
        in_flight=in_flight,
        most_in_flight=most_in_flight,
        cautious=chosen is None and limits.tier == "auto",
        ceiling=chosen is not None,
        share=limits.our_share,
        watch_output=limits.watch_output,
    )


def slots(limits: RateLimitSettings, most: int | None = None) -> tuple[int, int]:
    """Requests in flight of a pool: at first, and at most; never more than *most*,
    which the machine may set.
    """
    if limits.concurrency is None:
        most = MOST_IN_FLIGHT if most is None else most
        return min(_FIRST_IN_FLIGHT, most), most
    chosen = limits.concurrency if most is None else min(limits.concurrency, most)
    return chosen, chosen


def allowances(limits: RateLimitSettings, catalog: Catalog) -> Mapping[str, PoolLimits]:
    """Limits by pool: those of the tier, replaced by what the configuration says of
    single pools.
    """
    tier = {} if limits.tier == "none" else catalog.tier(_tier(limits))
    return {**{pool: _allowance(rates) for pool, rates in tier.items()}, **limits.pools}


def _starts_with(limits: RateLimitSettings, catalog: Catalog, pool: str) -> PoolLimits:
    # Nobody publishes the limits of fast mode: its pool begins like that of its model,
    # until an answer states its own.
    listed = pool.removesuffix(FAST_POOL)
    known = allowances(limits, catalog)
    return known.get(pool) or known.get(listed) or _unlisted(limits, catalog, listed)


def _unlisted(limits: RateLimitSettings, catalog: Catalog, pool: str) -> PoolLimits:
    # A model that nobody has facts about is paced like the slowest one of the tier, not
    # let loose.
    return (
        PoolLimits() if limits.tier == "none" else _allowance(catalog.limits(_tier(limits), pool))
    )


def _tier(limits: RateLimitSettings) -> str:
    return _AUTO_TIER if limits.tier == "auto" else limits.tier


def _allowance(rates: TierLimits) -> PoolLimits:
    return PoolLimits(
        requests_per_minute=rates.requests_per_minute,
        input_tokens_per_minute=rates.input_tokens_per_minute,
        output_tokens_per_minute=rates.output_tokens_per_minute,
    )
