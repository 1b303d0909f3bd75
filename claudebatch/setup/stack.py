"""The order of the layers, written once. Every claim about it is a test in tests/stack."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from claudebatch.config.sections import Config
from claudebatch.config.units import seconds, share
from claudebatch.core.domain import Call, Pico, Usage
from claudebatch.core.drain import Drain
from claudebatch.core.errors import NotServed
from claudebatch.core.events import Emit
from claudebatch.core.handler import Handler, nest
from claudebatch.core.jsonl import decode, encode
from claudebatch.core.message import parse_message
from claudebatch.layers.budget.input_count import Count, InputCounter
from claudebatch.layers.budget.layer import Budget
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.budget.usual_cost import UsualCost
from claudebatch.layers.circuit_breaker.layer import CircuitBreaker
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from claudebatch.layers.fallback.layer import Fallback
from claudebatch.layers.rate_limit.layer import RateLimit
from claudebatch.layers.rate_limit.usage_estimates import PastUsage, UsageEstimates
from claudebatch.layers.record.attempt_log import AttemptLog
from claudebatch.layers.record.layer import Record
from claudebatch.layers.response_cache.layer import ResponseCache, cache_key
from claudebatch.layers.response_cache.settings import CachePolicy
from claudebatch.layers.response_cache.store import CacheStore
from claudebatch.layers.retry.layer import Retry
from claudebatch.layers.retry.settings import RetryBudgetPolicy, RetryPolicy
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import PriceBook, UnknownPrice
from claudebatch.models.tokens.counted import CountedBounds
from claudebatch.routing.request import CallBuilder
from claudebatch.setup.pools import Pools


@dataclass(frozen=True, slots=True)
class Parts:
    """What the layers are made of; tests put their own in."""

    config: Config
    catalog: Catalog
    prices: PriceBook
    builder: CallBuilder
    keys: Keys
    cache: CacheStore | None
    """None: nothing is looked up, kept or shared."""
    log: AttemptLog
    budget_store: BudgetStore
    drain: Drain
    now: Callable[[], float]
    rng: random.Random
    emit: Emit
    most_in_flight: int | None = None
    """Of each pool, whatever the configuration says; None: as it says."""
    count: Count | None = None
    """Has the input of a call counted, free of charge, where that may let it fit under
    the cap.
    """
    before: PastUsage | None = None
    """What earlier runs tell of what requests take."""


def build_stack(parts: Parts, client: Handler) -> Handler:
    """The whole stack around *client*, outermost layer first."""
    config, emit, drain, rng = parts.config, parts.emit, parts.drain, parts.rng
    money = Money(parts.prices, capped=config.capped)
    max_outage_s = seconds("max_outage", config.max_outage)
    pools = Pools(config, parts.catalog, most_in_flight=parts.most_in_flight, now=parts.now)
    return nest(
        [
            Fallback(
                hop=parts.builder.hop,
                sleep=drain.sleep,
                rng=rng,
                emit=emit,
                max_outage_s=max_outage_s,
                unwanted=frozenset(config.fallback_on),
            ),
            ResponseCache(
                key=parts.keys,
                store=parts.cache,
                parse=lambda message: parse_message(message, source="cache", attempts=0),
                policy=CachePolicy(config.cache.keep_max_tokens, config.cache.keep_refusals),
                share=parts.cache is not None,
            ),
            Retry(
                _retry_policy(config),
                _retry_budget(config),
                pool_of=parts.catalog.pool_of,
                sleep=drain.sleep,
                now=parts.now,
                rng=rng,
                emit=emit,
            ),
            CircuitBreaker(
                _breaker_policy(config),
                pool_of=parts.catalog.pool_of,
                now=parts.now,
                emit=emit,
                back=pools.restart,
            ),
            Budget(
                parts.budget_store,
                worst=money.worst,
                emit=emit,
                usual=UsualCost() if config.caps.mode == "expected" else None,
                tighter=InputCounter(parts.count, CountedBounds(), waits=drain, emit=emit)
                if parts.count
                else None,
                pool_of=parts.catalog.pool_of,
            ),
            RateLimit(
                pool_of=pools.of,
                estimates=UsageEstimates(parts.before),
                waits=drain,
                max_pause_s=config.retry.max_wait_s,
                max_outage_s=max_outage_s,
                rng=rng,
                emit=emit,
            ),
            Record(
                parts.log,
                worst=money.worst,
                cost=money.cost,
                pool_of=parts.catalog.pool_of,
                now=parts.now,
                emit=emit,
            ),
        ],
        client,
    )


class Keys:
    """The cache keys of calls. Those made ahead are kept until they are asked for."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        # Mutable: keys made by `ahead` and not yet asked for, by row and model.
        self._made: dict[tuple[int, str], str] = {}

    def __call__(self, call: Call) -> str:
        """The key of *call*."""
        made = self._made.pop((call.row, call.model), None)
        return made or cache_key(call, scope=self._scope, encode=encode, decode=decode)

    def ahead(self, calls: Sequence[Call]) -> list[str]:
        """The keys of *calls*, which will soon be asked for one by one."""
        made = {(call.row, call.model): self(call) for call in calls}
        self._made.update(made)
        return list(made.values())


class Money:
    """Prices as the layers ask for them. A model without a price is only let through
    where there is no cap.
    """

    def __init__(self, prices: PriceBook, *, capped: bool = False) -> None:
        self._prices = prices
        self._capped = capped

    def worst(self, call: Call) -> Pico:
        """The most that one attempt can cost; 0 when nobody knows. Under a cap that is
        `NotServed` instead.
        """
        try:
            return self._prices.worst(call)
        except UnknownPrice as error:
            if not self._capped:
                return 0
            # The intake has looked at every model; a hop may still ask one for what has
            # no price there.
            raise NotServed(
                f"no price is known for this request at {call.model}, and the run has a cap",
                type="unknown_price",
            ) from error

    def cost(self, call: Call, usage: Usage) -> Pico | None:
        """What an answer cost; None when nobody knows."""
        try:
            return self._prices.cost(call.model, usage)
        except UnknownPrice:
            return None


def _retry_policy(config: Config) -> RetryPolicy:
    retry = config.retry
    return RetryPolicy(retry.max_attempts, retry.base_s, retry.cap_s, retry.max_wait_s)


def _retry_budget(config: Config) -> RetryBudgetPolicy:
    return RetryBudgetPolicy(
        share("retry.budget", config.retry.budget), config.retry.budget_floor_per_s
    )


def _breaker_policy(config: Config) -> BreakerPolicy:
    breaker = config.breaker
    return BreakerPolicy(
        minimum_calls=breaker.minimum_calls,
        failure_rate=breaker.failure_rate,
        slow_call=breaker.slow_call,
        slow_call_rate=breaker.slow_call_rate,
        window_s=breaker.window_s,
        wait_open_s=breaker.wait_open_s,
        probes=breaker.probes,
    )
