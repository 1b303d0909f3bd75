"""The prices of all models that can be priced on one day."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, TypeAlias

from claudebatch.core.domain import Call, Pico, PromptSavings, Usage, asks_for_fast
from claudebatch.models.prices.bundled import (
    genai_models,
    genai_rates,
    genai_version,
    own_table,
    undated,
)
from claudebatch.models.prices.overrides import parse_overrides
from claudebatch.models.prices.prompt_savings import prompt_savings
from claudebatch.models.prices.rates import ModelRates, UnknownPrice

Source: TypeAlias = Literal["configuration", "genai-prices", "claudebatch"]


class PriceBook:
    """Looks a model's rates up once, and computes with them exactly."""

    def __init__(self, overrides: Mapping[str, ModelRates], *, at: datetime) -> None:
        self._at = at
        self._overrides = overrides
        # Mutable: filled as models are asked for; None marks a model without a price.
        self._known: dict[str, ModelRates | None] = {}

    @classmethod
    def load(
        cls, overrides: Mapping[str, Mapping[str, Any]] | None = None, *, at: datetime
    ) -> PriceBook:
        """The book of the moment *at* (aware). *overrides*: model → {input, …}, dollars
        per million tokens.
        """
        return cls(parse_overrides(overrides or {}), at=at)

    def rates(self, model: str) -> ModelRates:
        """The rates of *model*; raises `UnknownPrice`."""
        try:
            known = self._known[model]
        except KeyError:
            known = self._known[model] = self._look_up(model)
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

    def knows_fast(self, model: str) -> bool:
        """Whether fast mode of *model* has a price."""
        return self.knows(model) and self.rates(model).fast is not None

    def cost(self, model: str, usage: Usage) -> Pico:
        """The exact cost of an answer of *model*; raises `UnknownPrice`."""
        rates = self._known.get(model) or self.rates(model)
        tokens = rates.of(usage, usage.speed).cost(usage)
        # By the answer, not by the request: the API says there what it bills.
        batch = usage.service_tier == "batch"
        if batch or usage.inference_geo == "us":
            tokens = _modified(tokens, batch=batch, us=usage.inference_geo == "us")
        return tokens + usage.web_search_requests * rates.search

    def batch_cost(self, model: str, usage: Usage) -> Pico:
        """The cost of the same answer out of a batch, which has no fast mode; raises
        `UnknownPrice`.
        """
        rates = self.rates(model)
        tokens = rates.of(usage, None).cost(usage)
        return (
            _modified(tokens, batch=True, us=usage.inference_geo == "us")
            + usage.web_search_requests * rates.search
        )

    def prompt_savings(
        self, model: str, usage: Usage, cost: Pico, *, prewarms: bool = False
    ) -> PromptSavings:
        """What the prompt cache has saved in answers of *model* that have *usage* and
        cost *cost*; nothing where its price is not known. *prewarms*: they are requests
        that only write to it, and without it would not have been sent.
        """
        try:
            found = prompt_savings(self.rates(model), usage, cost)
        except UnknownPrice:
            found = PromptSavings()
        return PromptSavings(-cost, found.writes) if prewarms else found

    def worst(self, call: Call) -> Pico:
        """The most that one attempt at *call* can cost; raises `UnknownPrice`.

        Input at its bound and at the dearest price that the request makes possible,
        output at `max_tokens`. The regional surcharge is always included unless the
        request rules it out: a workspace can set it by default.
        """
        model, size, body = self.rates(call.model), call.size, call.body
        tokens = max(
            size.input_bound * rates.dearest_input(body) + size.output_bound * rates.output
            for rates in model.possible(size.input_bound, fast=asks_for_fast(call))
        )
        # Both, because a reroute may drop the field from the body, and a prompt's text
        # may contain the same words.
        if (
            call.prompt.params.get("inference_geo") != "global"
            or b'"inference_geo":"global"' not in body
        ):
            tokens = _modified(tokens, batch=False, us=True)
        return tokens + size.web_searches_bound * model.search

    def batch_worst(self, call: Call) -> Pico:
        """The most that *call* can cost in a batch: half of it, searches aside; raises
        `UnknownPrice`.
        """
        searches = call.size.web_searches_bound * self.rates(call.model).search
        return -(-(self.worst(call) - searches) // 2) + searches

    def source(self, model: str) -> Source | None:
        """The source of the price of *model*; None without one."""
        if not self.knows(model):
            return None
        if self._override(model) is not None:
            return "configuration"
        return "claudebatch" if genai_rates(model, self._at) is None else "genai-prices"

    @cached_property
    def version(self) -> str:
        """The version of these prices: that of genai-prices, the day of their last
        check, and a digest of all rates.

        Two books with the same version give the same sums.
        """
        own = own_table()
        names = sorted({*self._overrides, *own.models, *genai_models()})
        rates = "\n".join(f"{name} {self._look_up(name)}" for name in names)
        # The digest, because an override changes prices under the same version of the
        # package: an old cost could not be explained any more.
        digest = hashlib.sha256(rates.encode()).hexdigest()[:8]
        return f"genai-{genai_version()}/{own.checked}/{digest}"

    def _look_up(self, model: str) -> ModelRates | None:
        return (
            self._override(model)
            or genai_rates(model, self._at)
            or own_table().models.get(undated(model))
        )

    def _override(self, model: str) -> ModelRates | None:
        return self._overrides.get(model) or self._overrides.get(undated(model))


def _modified(tokens: Pico, *, batch: bool, us: bool) -> Pico:
    """*tokens*, a sum of money, halved for a batch and a tenth dearer in the US,
    rounded up.
    """
    numerator, denominator = (11 if us else 10), (20 if batch else 10)
    # Whole numbers and rounded up: a hold must never be smaller than the bill.
    return -(-tokens * numerator // denominator)
