"""What tokens cost: exact, offline, per model, and never a guess.

Prices come from the bundled data of `genai-prices` and from the user's overrides. Its own calculation costs
0.3 ms and takes usage in another convention, so we read its rates once per model and multiply whole numbers
ourselves; a test holds our sums against its sums.

cost = g * (input*P_in + write_5m*P_5m + write_1h*P_1h + read*P_read + output*P_out) + searches*P_search,
g = 1.1 where the answer says `inference_geo: us`. Some models charge a whole request at a higher rate once its
total input passes a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from claudebatch.domain import Call, Pico, Usage, from_usd
from claudebatch.errors import ConfigError

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

_TOKENS_PER_MTOK = 10**6
_GEO_NUMERATOR, _GEO_DENOMINATOR = 11, 10
_DEFAULT_SEARCH = Decimal("0.01")
_FIELDS = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")


class UnknownPrice(LookupError):
    """No price is known for a model."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Pico-dollars per token, by kind of token."""

    input: Pico
    cache_write_5m: Pico
    cache_write_1h: Pico
    cache_read: Pico
    output: Pico

    def cost(self, usage: Usage) -> Pico:
        """What the tokens of *usage* cost, without searches and regional surcharge."""
        return (
            usage.input_tokens * self.input
            + usage.ephemeral_5m_input_tokens * self.cache_write_5m
            + usage.ephemeral_1h_input_tokens * self.cache_write_1h
            + usage.cache_read_input_tokens * self.cache_read
            + usage.output_tokens * self.output
        )


@dataclass(frozen=True, slots=True)
class ModelRates:
    """A model's rates: base, above an input threshold, and in fast mode."""

    base: Rates
    search: Pico
    threshold: int | None = None
    """Above this many tokens of total input, the whole request costs `above`."""
    above: Rates | None = None
    fast: Rates | None = None

    def of(self, total_input: int, speed: str | None) -> Rates:
        """The rates for a request of *total_input* tokens."""
        if speed == "fast" and self.fast is not None:
            return self.fast
        if self.above is not None and self.threshold is not None and total_input > self.threshold:
            return self.above
        return self.base


class PriceBook:
    """Prices of all models that can be priced on one day."""

    def __init__(self, overrides: Mapping[str, ModelRates], *, at: datetime) -> None:
        self._at = at
        # Mutable: filled as models are asked for; None marks a model without a price.
        self._known: dict[str, ModelRates | None] = dict(overrides)

    @classmethod
    def load(cls, overrides: Mapping[str, Mapping[str, Any]] | None = None, *, at: datetime) -> PriceBook:
        """The book of the moment *at* (aware). *overrides*: model → {input, …}, dollars per million tokens."""
        return cls({model: _override(model, raw) for model, raw in (overrides or {}).items()}, at=at)

    def rates(self, model: str) -> ModelRates:
        """The rates of *model*; raises `UnknownPrice`."""
        try:
            known = self._known[model]
        except KeyError:
            known = self._known[model] = _bundled(model, self._at)
        if known is None:
            raise UnknownPrice(model)
        return known

    def knows(self, model: str) -> bool:
        """Whether *model* has a price."""
        try:
            self.rates(model)
        except UnknownPrice:
            return False
        return True

    def cost(self, model: str, usage: Usage) -> Pico:
        """What an answer of *model* with *usage* costs, exactly; raises `UnknownPrice`."""
        rates = self.rates(model)
        tokens = rates.of(usage.total_input, usage.speed).cost(usage)
        if usage.inference_geo == "us":
            tokens = _with_geo(tokens)
        return tokens + usage.web_search_requests * rates.search

    def worst(self, call: Call) -> Pico:
        """The most that one attempt at *call* can cost; raises `UnknownPrice`.

        Input at its bound and at the dearest price that the request makes possible, output at `max_tokens`.
        The regional surcharge is always included unless the request rules it out: a workspace can set it by default.
        """
        model, size, body = self.rates(call.model), call.size, call.body
        rates = model.of(size.input_bound, "fast" if b'"speed":"fast"' in body else None)
        input_rate = rates.input
        if b'"cache_control"' in body:
            input_rate = max(input_rate, rates.cache_write_1h if b'"1h"' in body else rates.cache_write_5m)
        tokens = size.input_bound * input_rate + size.output_bound * rates.output
        # Asked for, and still in the body after a hop; the body alone may hold the words elsewhere.
        if call.prompt.params.get("inference_geo") != "global" or b'"inference_geo":"global"' not in body:
            tokens = _with_geo(tokens)
        return tokens + size.web_searches_bound * model.search


def _with_geo(tokens: Pico) -> Pico:
    return -(-tokens * _GEO_NUMERATOR // _GEO_DENOMINATOR)


def _bundled(model: str, at: datetime) -> ModelRates | None:
    info = _find(model)
    if info is None:
        return None
    standard, fast = info.get_prices(at), info.get_prices(at, {"speed": "fast"})
    threshold = next((t.tiers[0].start for t in vars(standard).values() if hasattr(t, "tiers") and t.tiers), None)
    search = getattr(standard, "web_searches_kcount", None)
    return ModelRates(
        base=_rates(standard, above=False),
        search=from_usd(Decimal(search) / 1000 if search is not None else _DEFAULT_SEARCH),
        threshold=threshold,
        above=_rates(standard, above=True) if threshold is not None else None,
        fast=_rates(fast, above=False) if vars(fast) != vars(standard) else None,
    )


def _find(model: str) -> ModelInfo | None:
    # Heavy (0.2 s, pydantic and an HTTP client): only commands that price something pay for it.
    from genai_prices.data_snapshot import find_provider_by_id, get_snapshot  # noqa: PLC0415

    provider = find_provider_by_id(get_snapshot().providers, "anthropic")
    return provider.find_model(model) if provider is not None else None


def _rates(prices: Any, *, above: bool) -> Rates:
    def dollars(key: str, otherwise: Decimal) -> Decimal:
        value: Any = getattr(prices, key, None)
        if hasattr(value, "tiers"):
            value = value.tiers[0].price if above and value.tiers else value.base
        return otherwise if value is None else Decimal(value)

    dollars_in = dollars("input_mtok", Decimal(0))
    return Rates(
        input=_per_token(dollars_in),
        cache_write_5m=_per_token(dollars("cache_write_mtok", dollars_in * Decimal("1.25"))),
        cache_write_1h=_per_token(dollars("cache_write_1h_mtok", dollars_in * 2)),
        cache_read=_per_token(dollars("cache_read_mtok", dollars_in)),
        output=_per_token(dollars("output_mtok", Decimal(0))),
    )


def _per_token(dollars_per_mtok: Decimal) -> Pico:
    return from_usd(dollars_per_mtok / _TOKENS_PER_MTOK)


def _override(model: str, raw: Mapping[str, Any]) -> ModelRates:
    where = f"prices.{model}"
    unknown = sorted(set(raw) - set(_FIELDS))
    if unknown:
        raise ConfigError(f'{where}: unknown field "{unknown[0]}"', fix=f"use {', '.join(_FIELDS)}")
    missing = [name for name in ("input", "output") if name not in raw]
    if missing:
        raise ConfigError(f'{where}: "{missing[0]}" is missing', fix="give dollars per million tokens")
    dollars = {name: _dollars(f"{where}.{name}", value) for name, value in raw.items()}
    base = Rates(
        input=_per_token(dollars["input"]),
        cache_write_5m=_per_token(dollars.get("cache_write_5m", dollars["input"] * Decimal("1.25"))),
        cache_write_1h=_per_token(dollars.get("cache_write_1h", dollars["input"] * 2)),
        cache_read=_per_token(dollars.get("cache_read", dollars["input"])),
        output=_per_token(dollars["output"]),
    )
    return ModelRates(base=base, search=from_usd(_DEFAULT_SEARCH))


def _dollars(where: str, value: Any) -> Decimal:
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise ConfigError(f"{where}: not a price: {value!r}", fix="give dollars per million tokens, such as 2.50")
    return amount
