"""The cost of the same rows if another model answered all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from claudebatch.core.domain import Call, Pico
from claudebatch.core.reports import Elsewhere
from claudebatch.estimate.cached_share import with_cache
from claudebatch.estimate.forecast import ExpectedTokens, Forecast
from claudebatch.estimate.request_shape import CachedShare, RequestShape, shape_of
from claudebatch.models.catalog import ModelFacts
from claudebatch.models.tokens import measure, token_ratio
from claudebatch.routing.request import request_body
from claudebatch.setup.run_setup import RunSetup

SAMPLE = 300
"""Rows of each model that are measured for every other model. The cost there per token
here differs little from row to row: the sums of such a sample are within a few per
cent, and exact for a smaller file.
"""
# The price of an output token over that of an input token, at every current model:
# weights must not depend on the prices that are being compared.
_OUTPUT_WEIGHT = 5


def weight(expected: ExpectedTokens) -> float:
    """The size of a row in input tokens, independent of its model's prices."""
    return expected.usage.total_input + _OUTPUT_WEIGHT * expected.output_tokens


class Group(NamedTuple):
    """Rows of one model that another model would treat alike."""

    model: str
    cached: bool
    """Whether this model's answers are cached; another model would have to answer
    again.
    """


class Comparison:
    """Adds up the cost of a sample of rows at each of some models."""

    def __init__(
        self, models: Sequence[ModelFacts], forecast: Forecast, run_setup: RunSetup
    ) -> None:
        self._models = [facts for facts in models if run_setup.prices.knows(facts.id)]
        self._forecast = forecast
        self._run_setup = run_setup
        # Mutable, changed by `add`: the weight of each group of rows; expected and
        # batch cost by other model and group.
        self._weights: defaultdict[Group, float] = defaultdict(float)
        self._sums: defaultdict[tuple[str, Group], list[Pico]] = defaultdict(lambda: [0, 0])

    def add(self, call: Call, share: CachedShare | None = None, *, cached: bool = False) -> None:
        """Add a row of the sample; the prompt cache writes and reads *share* of it."""
        own = shape_of(call)
        group = Group(own.model, cached)
        self._weights[group] += weight(self._forecast.expect(own))
        for facts in self._models:
            # A cached row is free at its own model only.
            if not (cached and facts.id == own.model):
                self._add(call, own, facts, share, self._sums[facts.id, group])

    def of(self, totals: Mapping[Group, float]) -> tuple[Elsewhere, ...]:
        """The cost of all rows at each model, the cheapest first; *totals*: the weight
        of all rows of each group.

        Empty where no row would be sent.
        """
        if all(group.cached for group in totals):
            return ()
        others, lines = [], set()
        for facts in self._models:
            newest = facts.line is None or facts.line not in lines
            lines.add(facts.line)
            expected, batch = (self._all(facts.id, place, totals) for place in (0, 1))
            others.append(Elsewhere(facts.id, expected, batch, newest))
        return tuple(sorted(others, key=lambda other: (other.expected, other.model)))

    def _add(
        self,
        call: Call,
        own: RequestShape,
        facts: ModelFacts,
        share: CachedShare | None,
        sums: list[Pico],
    ) -> None:
        # Fast mode without a known price is compared at standard speed, or the row
        # would have no cost at all.
        as_it_is = own.model == facts.id and (
            own.speed != "fast" or self._run_setup.prices.knows_fast(own.model)
        )
        there = own if as_it_is else self._moved(call, own, facts)
        known = self._run_setup.catalog.facts(own.model).tokenizer
        expected = self._forecast.expect(
            there, like=own, longer=token_ratio(known, facts.tokenizer)
        )
        at_once = expected if share is None else with_cache(expected, share)
        sums[0] += self._forecast.cost(there, at_once)
        sums[1] += self._forecast.batch_cost(there, expected)

    def _moved(self, call: Call, own: RequestShape, facts: ModelFacts) -> RequestShape:
        """The same row at the model of *facts*, at standard speed."""
        params, usual = call.prompt.params, self._run_setup.settings.expected_output_tokens
        size = measure(params, request_body(facts.id, params), facts, expected_output=usual)
        return RequestShape(
            model=facts.id,
            rule=own.rule,
            input_estimate=size.input_tokens,
            output_estimate=size.output_tokens,
            output_bound=own.output_bound,
            caches=own.caches,
            searches=own.searches,
            geo=own.geo,
        )

    def _all(self, model: str, place: int, totals: Mapping[Group, float]) -> Pico:
        """The sums of the sample, extrapolated to all rows."""
        return sum(
            round(self._sums[model, group][place] * (total / self._weights[group]))
            for group, total in totals.items()
            # A group without a sample has nothing to extrapolate.
            if self._weights[group]
        )
