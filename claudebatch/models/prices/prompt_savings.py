"""What the API's prompt cache has saved, from the tokens and dollars of answers."""

from __future__ import annotations

from claudebatch.core.domain import BILLED_KINDS, Pico, PromptSavings, Usage, kind_counts
from claudebatch.models.prices.rates import ModelRates

_WRITES = "cache_creation"
_NONE = PromptSavings()


def prompt_savings(rates: ModelRates, usage: Usage, cost: Pico) -> PromptSavings:
    """What answers that have *usage* and cost *cost* would have cost more without the
    prompt cache.

    saved = cost * (tokens as plain input - tokens as billed) / tokens as billed, all by
    the model's list: a batch's half, a surcharge of a region and a dearer long prompt
    hold for each kind of token alike. Exact for answers that were billed alike.
    """
    listed = rates.base.cost(usage)
    if not listed or not (usage.cache_read_input_tokens or usage.cache_creation_input_tokens):
        return _NONE
    of_tokens = max(0, cost - usage.web_search_requests * rates.search)
    writes = sum(
        count * rates.base.prices[kind.price]
        for kind, count in zip(BILLED_KINDS, kind_counts(usage), strict=True)
        if kind.group == _WRITES
    )
    plain = Usage(input_tokens=usage.total_input, output_tokens=usage.output_tokens)
    saved = rates.base.cost(plain) - listed
    return PromptSavings(saved * of_tokens // listed, writes * of_tokens // listed)
