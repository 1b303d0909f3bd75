"""The pools of a run: which limits each one starts with, and how many requests it may
have in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from claudebatch.config.sections import Config, PoolLimitsSection
from claudebatch.config.units import share
from claudebatch.layers.rate_limit.limiter import PoolLimiter
from claudebatch.layers.rate_limit.local_pool import make_limiter, open_local_pool
from claudebatch.layers.rate_limit.store import LimiterStore, OpenPool, PoolStart
from claudebatch.models.catalog import Catalog, TierLimits

MOST_IN_FLIGHT = 1000
_FIRST_IN_FLIGHT = 64
_AUTO_TIER = "start"
"""Under `limits: auto`, the pace of the lowest published tier until answers tell the
account's own, and where a gateway strips their headers.
"""


class Pools:
    """One `LimiterStore` per pool of models, opened when first used."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        *,
        now: Callable[[], float],
        most_in_flight: int | None = None,
        open_pool: OpenPool = open_local_pool,
    ) -> None:
        self._config = config
        self._most_in_flight = most_in_flight
        self._catalog = catalog
        self._now = now
        self._open = open_pool
        # Mutable: filled as models are used.
        self._pools: dict[str, LimiterStore[Any]] = {}

    def of(self, model: str) -> LimiterStore[Any]:
        """The pool that *model* belongs to."""
        name = self._catalog.pool_of(model)
        pool = self._pools.get(name)
        if pool is None:
            start = pool_start(self._config, self._catalog, name, most=self._most_in_flight)
            pool = self._pools[name] = self._open(start, now=self._now)
        return pool

    async def restart(self, pool: str) -> None:
        """*pool* was away: it comes back gently."""
        if pool in self._pools:
            await self._pools[pool].restart()


def make_pace(config: Config, catalog: Catalog, pool: str, *, now: float) -> PoolLimiter:
    """How fast *pool* may be asked, beginning *now*."""
    return make_limiter(pool_start(config, catalog, pool), now=now)


def pool_start(
    config: Config, catalog: Catalog, pool: str, *, most: int | None = None
) -> PoolStart:
    """The limits with which *pool* begins; *most* requests in flight, whatever the
    configuration says.
    """
    limits = config.limits
    chosen = limits.pools.get(pool)
    in_flight, most_in_flight = slots(config, most)
    return PoolStart(
        pool,
        chosen or allowances(config, catalog).get(pool) or _unlisted(config, catalog, pool),
        in_flight=in_flight,
        most_in_flight=most_in_flight,
        cautious=chosen is None and limits.tier == "auto",
        ceiling=chosen is not None,
        share=1.0 - share("limits.headroom", limits.headroom),
    )


def slots(config: Config, most: int | None = None) -> tuple[int, int]:
    """Requests in flight of a pool: at first, and at most; never more than *most*,
    which the machine may set.
    """
    if config.concurrency == "auto":
        most = MOST_IN_FLIGHT if most is None else most
        return min(_FIRST_IN_FLIGHT, most), most
    chosen = config.concurrency if most is None else min(config.concurrency, most)
    return chosen, chosen


def allowances(config: Config, catalog: Catalog) -> Mapping[str, PoolLimitsSection]:
    """Limits by pool: those of the tier, replaced by what the configuration says of
    single pools.
    """
    tier = {} if config.limits.tier == "none" else catalog.tier(_tier(config))
    return {**{pool: _allowance(limits) for pool, limits in tier.items()}, **config.limits.pools}


def _unlisted(config: Config, catalog: Catalog, pool: str) -> PoolLimitsSection:
    # A model that nobody has facts about is paced like the slowest one of the tier, not
    # let loose.
    return (
        PoolLimitsSection()
        if config.limits.tier == "none"
        else _allowance(catalog.limits(_tier(config), pool))
    )


def _tier(config: Config) -> str:
    return _AUTO_TIER if config.limits.tier == "auto" else config.limits.tier


def _allowance(limits: TierLimits) -> PoolLimitsSection:
    return PoolLimitsSection(
        requests_per_minute=limits.requests_per_minute,
        input_tokens_per_minute=limits.input_tokens_per_minute,
        output_tokens_per_minute=limits.output_tokens_per_minute,
    )
