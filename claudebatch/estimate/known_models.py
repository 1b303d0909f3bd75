"""The report of `claudebatch models`: facts, prices and limits of every model under the
configuration.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from claudebatch.config.settings import Settings
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.reports.models_report import (
    ModelLine,
    ModelPrices,
    ModelsReport,
    TierLimitsLine,
    TokenPrices,
)
from claudebatch.layers.rate_limit.settings import PoolLimits
from claudebatch.models.catalog import Catalog, ModelFacts, TierLimits
from claudebatch.models.prices import PriceBook, Rates
from claudebatch.models.prices.bundled import genai_version, own_table
from claudebatch.setup.pools import allowances

_TIERS = ("start", "build", "scale")
_MTOK = 10**6
_NO_LIMITS = PoolLimits()


def known_models(settings: Settings, asked: str | None, *, at: datetime) -> ModelsReport:
    """Every model, or those whose name is or contains *asked*. Raises
    `ClaudebatchError` where there is none.
    """
    lines = _ModelLines(settings, at)
    own = own_table()
    return ModelsReport(
        models=tuple(lines.line(facts) for facts in lines.chosen(asked)),
        price_source=f"genai-prices {genai_version()}",
        price_version=lines.prices.version,
        checked=own.checked,
        checked_with=own.checked_with,
        tier=settings.limits.tier,
        on=at.date(),
    )


class _ModelLines:
    """Makes the lines of the report from catalogue, prices and limits."""

    def __init__(self, settings: Settings, at: datetime) -> None:
        self._settings = settings
        self._today = at.date()
        self._catalog = Catalog.load(settings.models).on(self._today)
        self._allowed = allowances(settings.limits, self._catalog)
        self.prices = PriceBook.load(settings.prices, at=at)

    def chosen(self, asked: str | None) -> list[ModelFacts]:
        """The facts about the models to show."""
        listed = {facts.id for facts in self._catalog}
        # A price may be set for a model without facts, or for one snapshot.
        priced = {
            model: self._named(model) for model in self._settings.prices if model not in listed
        }
        known = [*self._catalog, *priced.values()]
        if asked is None:
            return known
        if asked in priced:
            return [priced[asked]]
        if self._catalog.known(asked) or self.prices.knows(asked):
            return [self._catalog.facts(asked)]
        matches = [facts for facts in known if asked.lower() in facts.id]
        if not matches:
            meant = self._catalog.suggest(asked)
            fix = f"did you mean {meant!r}?" if meant else "claudebatch models lists them all"
            raise ClaudebatchError("E611", f"unknown model {asked!r}", fix=fix)
        return matches

    def _named(self, model: str) -> ModelFacts:
        return replace(self._catalog.facts(model), id=model, aliases=())

    def line(self, facts: ModelFacts) -> ModelLine:
        """The line of one model."""
        catalog, pool = self._catalog, facts.pool
        return ModelLine(
            id=facts.id,
            aliases=facts.aliases,
            is_default=catalog.resolve(self._settings.model) == facts.id,
            known=catalog.known(facts.id),
            changed=tuple(self._settings.models.get(facts.id, ())),
            prices=self._prices(facts.id),
            pool=pool,
            shares_with=tuple(
                o.id for o in catalog.current(self._today) if o.pool == pool and o.id != facts.id
            ),
            limits=_limits(self._allowed.get(pool)),
            tiers={tier: _limits(catalog.limits(tier, pool)) for tier in _TIERS},
            context_window=facts.context_window,
            max_output=facts.max_output,
            thinking=facts.thinking,
            thinking_default=facts.thinking_default,
            efforts=facts.efforts,
            default_effort=facts.default_effort,
            effort_cap_without_thinking=facts.effort_cap_without_thinking,
            min_cacheable_prefix=facts.min_cacheable_prefix,
            prefill=facts.prefill,
            forced_tools=facts.forced_tools,
            inference_geo=facts.inference_geo,
            retires_at=facts.retires_at,
            retires_for_sure=facts.retires_for_sure,
            days_left=facts.days_left(self._today),
        )

    def _prices(self, model: str) -> ModelPrices | None:
        source = self.prices.source(model)
        if source is None:
            return None
        rates = self.prices.rates(model)
        return ModelPrices(
            source=source,
            standard=_per_mtok(rates.base),
            threshold=rates.threshold,
            above=None if rates.above is None else _per_mtok(rates.above),
            # A price outlives the mode it was for.
            fast=_per_mtok(rates.fast) if rates.fast and self._catalog.facts(model).fast else None,
            search=rates.search,
        )


def _limits(limits: TierLimits | PoolLimits | None) -> TierLimitsLine:
    limits = limits or _NO_LIMITS
    return TierLimitsLine(
        limits.requests_per_minute, limits.input_tokens_per_minute, limits.output_tokens_per_minute
    )


def _per_mtok(rates: Rates) -> TokenPrices:
    return {kind: price * _MTOK for kind, price in rates.prices.items()}
