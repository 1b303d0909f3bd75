"""The order of the layers, written once. Every claim about it is a test in
tests/setup.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from claudebatch.config.settings import Settings
from claudebatch.core.answer_form import UnfitAnswers, schema_of
from claudebatch.core.domain import Call, Pico, Prompt, Reply, Usage
from claudebatch.core.drain import Drain
from claudebatch.core.errors import NotServed
from claudebatch.core.events import Emit
from claudebatch.core.handler import Handler, nest
from claudebatch.core.jsonl import decode, encode
from claudebatch.core.message import parse_message
from claudebatch.core.resting import Resting
from claudebatch.core.tries import Outages, RowTries
from claudebatch.layers.budget.input_count import Count, InputCounter
from claudebatch.layers.budget.layer import Budget
from claudebatch.layers.budget.store import BudgetStore
from claudebatch.layers.budget.usual_cost import UsualCost
from claudebatch.layers.circuit_breaker.layer import CircuitBreaker
from claudebatch.layers.fallback.layer import Fallback, no_answer
from claudebatch.layers.prompt_caching import own_marks
from claudebatch.layers.prompt_caching.layer import PromptCaching
from claudebatch.layers.prompt_caching.placed import Place
from claudebatch.layers.rate_limit.layer import RateLimit
from claudebatch.layers.rate_limit.usage_estimates import PastUsage, UsageEstimates
from claudebatch.layers.record.attempt_log import AttemptLog
from claudebatch.layers.record.layer import Record
from claudebatch.layers.response_cache.layer import ResponseCache, cache_key, prompt_key
from claudebatch.layers.response_cache.request_notes import RequestNotes
from claudebatch.layers.response_cache.store import CacheStore, Claims
from claudebatch.layers.retry.layer import Retry
from claudebatch.layers.structured_answers.answer_reading import read_answer
from claudebatch.layers.structured_answers.follow_up import follow_up
from claudebatch.layers.structured_answers.layer import StructuredAnswers
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import PriceBook, UnknownPrice
from claudebatch.models.tokens.counted import CountedBounds
from claudebatch.routing.request import CallBuilder
from claudebatch.setup.pools import Pools
from claudebatch.storage.shared_server.redis_server import ScriptServer


async def no_unfit_answers(call: Call) -> UnfitAnswers | None:
    """None: no session was before this one."""
    return None


@dataclass(frozen=True, slots=True)
class Parts:
    """What the layers are made of; tests put their own in."""

    settings: Settings
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
    earlier: Callable[[int], RowTries | None] = lambda row: None
    """What became of a row's attempts in earlier sessions."""
    unfit: Callable[[Call], Awaitable[UnfitAnswers | None]] = no_unfit_answers
    """A row's answers of earlier sessions that did not fit its schema."""
    answered: Callable[[Call], Awaitable[Reply | None]] = no_answer
    """An answer of before that another model is to better."""
    resting: Resting = field(default_factory=Resting)
    """Hears of rows that wait for their next attempt, or for another row's answer."""
    place: Place = own_marks.place
    """What of a request is to be cached by the API."""
    shared: ScriptServer | None = None
    """Where limits stand that all hosts share; None: in this process."""
    claims: Claims | None = None
    """Who of several hosts asks for an answer; None: this one."""
    notes: RequestNotes | None = None
    """Hears what was asked, for the commands that look into the response cache."""


def build_stack(parts: Parts, client: Handler) -> Handler:
    """The whole stack around *client*, outermost layer first."""
    settings = parts.settings
    money = Money(parts.prices, capped=settings.budget.capped)
    pools = Pools(
        settings.limits,
        parts.catalog,
        most_in_flight=parts.most_in_flight,
        now=parts.now,
        shared=parts.shared,
    )
    outages = Outages()
    breaker = _circuit_breaker(parts, pools, outages)

    caching = _prompt_caching(parts)

    def leaves(call: Call) -> None:
        breaker.leaves(call)
        caching.leaves(call)
        parts.resting.over(call.row)

    return nest(
        [
            _fallback(parts),
            _response_cache(parts),
            _structured_answers(parts),
            _retry(parts, outages),
            caching,
            breaker,
            _budget(parts, money),
            _rate_limit(parts, pools, leaves=leaves),
            _record(parts, money),
        ],
        client,
    )


def _fallback(parts: Parts) -> Fallback:
    return Fallback(
        hop=parts.builder.hop,
        sleep=parts.drain.sleep,
        rng=parts.rng,
        emit=parts.emit,
        max_outage_s=parts.settings.max_outage_s,
        unwanted=parts.settings.fallback_on,
        answered=parts.answered,
        earlier=parts.earlier,
        resting=parts.resting,
        lane_of=parts.catalog.pool_of,
    )


def _response_cache(parts: Parts) -> ResponseCache:
    return ResponseCache(
        key=parts.keys,
        store=parts.cache,
        parse=lambda message: parse_message(message, source="cache", via=None, attempts=0),
        policy=parts.settings.cache.policy,
        # --no-cache means that every row is asked, equal ones included.
        share=parts.cache is not None,
        fits=_fits,
        notes=parts.notes,
        claims=parts.claims,
    )


def _fits(call: Call, reply: Reply) -> bool:
    if schema_of(call.prompt.params) is None:
        return True
    reading = read_answer(call.prompt, reply)
    return reading is None or not reading.fault


def _structured_answers(parts: Parts) -> StructuredAnswers:
    def again(call: Call, unfit: UnfitAnswers) -> Call:
        return parts.builder.instead(call, follow_up(call.prompt.params, unfit.last, unfit.fault))

    return StructuredAnswers(
        read=read_answer,
        again=again,
        retries=parts.settings.schema_retries,
        earlier=parts.unfit,
        emit=parts.emit,
    )


def _retry(parts: Parts, outages: Outages) -> Retry:
    return Retry(
        parts.settings.retry,
        parts.settings.retry_budget,
        pool_of=parts.catalog.pool_of,
        sleep=parts.drain.sleep,
        now=parts.now,
        rng=parts.rng,
        emit=parts.emit,
        outages=outages,
        resting=parts.resting,
        max_outage_s=parts.settings.max_outage_s,
    )


def _prompt_caching(parts: Parts) -> PromptCaching:
    return PromptCaching(
        place=parts.place,
        waits=parts.drain,
        now=parts.now,
        emit=parts.emit,
        resting=parts.resting,
        lane_of=parts.catalog.pool_of,
    )


def _circuit_breaker(parts: Parts, pools: Pools, outages: Outages) -> CircuitBreaker:
    return CircuitBreaker(
        parts.settings.breaker,
        pool_of=parts.catalog.pool_of,
        now=parts.now,
        emit=parts.emit,
        outages=outages,
        # A pool that comes back meets all of its rows at once: it starts gently.
        back=pools.restart,
        rows_left=parts.resting.left,
    )


def _budget(parts: Parts, money: Money) -> Budget:
    # Asking the API to count takes a round trip: only where a cap may need it.
    counter = (
        InputCounter(parts.count, CountedBounds(), waits=parts.drain, emit=parts.emit)
        if parts.count
        else None
    )
    return Budget(
        parts.budget_store,
        worst=money.worst,
        emit=parts.emit,
        usual=UsualCost() if parts.settings.budget.mode == "expected" else None,
        tighter=counter,
        pool_of=parts.catalog.pool_of,
    )


def _rate_limit(parts: Parts, pools: Pools, *, leaves: Callable[[Call], None]) -> RateLimit[Any]:
    return RateLimit(
        pool_of=pools.of,
        estimates=UsageEstimates(parts.before),
        waits=parts.drain,
        # A 429 may name a time that nobody wants to wait for.
        max_pause_s=parts.settings.retry.max_wait_s,
        max_outage_s=parts.settings.max_outage_s,
        rng=parts.rng,
        emit=parts.emit,
        leaves=leaves,
    )


# The same prices as the budget: what is written down is what was held.
def _record(parts: Parts, money: Money) -> Record:
    return Record(
        parts.log,
        worst=money.worst,
        cost=money.cost,
        pool_of=parts.catalog.pool_of,
        now=parts.now,
        emit=parts.emit,
    )


class Keys:
    """The cache keys of calls. Those made ahead wait here until they are asked for."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        # Mutable: keys made by `ahead` and not yet asked for, by row and model.
        self._made: dict[tuple[int, str], str] = {}

    def __call__(self, call: Call) -> str:
        """The key of *call*."""
        # Popped: each call asks once, and a million rows must leave nothing behind.
        made = self._made.pop((call.row, call.model), None)
        return made or cache_key(call, scope=self._scope, encode=encode, decode=decode)

    def of(self, prompt: Prompt, body: bytes) -> str:
        """The key of *prompt*, asked as *body*: without a call, of which a check of a
        million rows needs nothing else.
        """
        return prompt_key(prompt, body, scope=self._scope, encode=encode, decode=decode)

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
        """The most that one attempt can cost; 0 when it is unknown. Under a cap that is
        `NotServed` instead.
        """
        return self._most(call, self._prices.worst)

    def batch_worst(self, call: Call) -> Pico:
        """The same of a request in a message batch."""
        return self._most(call, self._prices.batch_worst)

    def _most(self, call: Call, worst: Callable[[Call], Pico]) -> Pico:
        try:
            return worst(call)
        except UnknownPrice as error:
            # Nothing to keep: the cost is shown as unknown.
            if not self._capped:
                return 0
            # The intake has looked at every model; a hop may still ask one for what has
            # no price there.
            raise NotServed(
                f"no price is known for this request at {call.model}, and the run has a cap",
                type="unknown_price",
            ) from error

    def cost(self, call: Call, usage: Usage) -> Pico | None:
        """What an answer cost; None when it is unknown."""
        try:
            return self._prices.cost(call.model, usage)
        except UnknownPrice:
            return None

    def batch_cost(self, model: str, usage: Usage) -> Pico | None:
        """What an answer of *model* out of a batch cost; None when it is unknown."""
        try:
            return self._prices.batch_cost(model, usage)
        except UnknownPrice:
            return None
