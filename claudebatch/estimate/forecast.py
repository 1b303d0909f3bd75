"""The expected tokens and cost of one row, before it is sent.

A dry run adds them up over a file; a run adds them up over the answered rows, to show
them beside the real cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from claudebatch.core.domain import Call, Pico, Usage
from claudebatch.core.frozen import value
from claudebatch.core.reports import Basis
from claudebatch.estimate.history import ENOUGH, History, InputRatios, RouteUsage
from claudebatch.estimate.request_shape import RequestShape, shape_of
from claudebatch.models.prices import PriceBook, UnknownPrice

# The lower bounds without any history: answers may be short, and the built-in rule for
# input leans to the high side.
_LOW_INPUT = 0.8
_LOW_OUTPUT = 0.5
_BUILT_IN = InputRatios({"input_tokens": 1.0}, low=_LOW_INPUT)
# Eight in ten answers lie between them: the extremes of a thousand would say nothing.
_SHORT, _LONG = 0.1, 0.9
# Prices per token are taken over so many tokens: for a single one the rounding of a
# surcharge to whole pico-dollars would show.
_STEP = 1000


@value
class ExpectedTokens:
    """The expected tokens of one request: its input as it will be billed, and its
    output as a mean, which is no whole number.
    """

    usage: Usage
    output_tokens: float
    web_searches: float = 0.0


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The sample ratio of a model: the API's count of some rows over the built-in
    rule's.
    """

    factor: float
    error: float
    """Standard error of *factor*, as a share of it."""
    rows: int


class Forecast:
    """Expects the tokens of a request from past requests of the same route. Pure: made
    once before a run, it does not learn.
    """

    def __init__(
        self,
        prices: PriceBook,
        history: History,
        *,
        configured_output: bool = False,
        counted: Mapping[str, SampleRatio] | None = None,
    ) -> None:
        """*configured_output*: the user has set the length of answers; *counted*: the
        ratio of a counted sample, by model.
        """
        self._prices = prices
        self._history = history
        self._configured = configured_output
        self._counted = counted or {}
        # Mutable: a cache of each route's history; `expect` runs for every row.
        self._routes: dict[tuple[str, str], tuple[InputRatios, RouteUsage | None]] = {}

    def expect(
        self, request: RequestShape, *, like: RequestShape | None = None, longer: float = 1.0
    ) -> ExpectedTokens:
        """The expected tokens of *request*. Without history of its own route: those of
        rows *like* it, with answers *longer* by this factor.
        """
        inputs, habits = self._route(request.model, request.rule)
        if like is None or habits is not None:
            longer = 1.0
        elif like.model != request.model:
            others, habits = self._route(like.model, like.rule)
            # The ratio of another model is better than none: both count the same text.
            inputs = inputs if inputs.answers else others
        searches = habits.web_searches if habits is not None and request.searches else 0.0
        output = min(self._mean(request, habits) * longer, request.output_bound)
        return ExpectedTokens(_usage(request, inputs, habits), output, searches)

    def at_least(self, request: RequestShape) -> ExpectedTokens:
        """The tokens of *request* at the tenth percentile of both input and output."""
        inputs, habits = self._route(request.model, request.rule)
        if self._configured or habits is None:
            output = request.output_estimate * _LOW_OUTPUT
        else:
            output = min(habits.lengths.quantile(_SHORT), request.output_bound)
        return ExpectedTokens(_usage(request, inputs.scaled(inputs.low), habits), output)

    def cost(self, request: RequestShape, expected: ExpectedTokens) -> Pico:
        """The cost of *request* with the *expected* tokens; raises `UnknownPrice`."""
        searches = round(expected.web_searches * self._prices.rates(request.model).search)
        return (
            _linear(self._prices.cost, request.model, expected.usage, expected.output_tokens)
            + searches
        )

    def batch_cost(self, request: RequestShape, expected: ExpectedTokens) -> Pico:
        """The cost on the Batches API; raises `UnknownPrice`."""
        searches = round(expected.web_searches * self._prices.rates(request.model).search)
        return (
            _linear(self._prices.batch_cost, request.model, expected.usage, expected.output_tokens)
            + searches
        )

    def cost_of(self, call: Call) -> Pico:
        """The expected cost of *call*; 0 where its model has no price."""
        return self._cost_of(call, self.cost, self._prices.worst)

    def uncached_cost_of(self, call: Call) -> Pico:
        """The same as if nothing were written to the prompt cache or read from it."""
        return self._cost_of(call, self.cost, self._prices.worst, caches=False)

    def batch_cost_of(self, call: Call) -> Pico:
        """The expected cost of *call* in a batch; 0 where its model has no price."""
        return self._cost_of(call, self.batch_cost, self._prices.batch_worst)

    def input_factor(self, model: str) -> float | None:
        """Counted tokens of *model* per estimated token, however billed; None without
        history.
        """
        inputs = self._history.inputs(model)
        return inputs.total if inputs is not None else None

    def mean_output(self, model: str, rule: str, bound: int) -> float | None:
        """The mean length of this route's answers, cut at *bound*; None without history
        or with a configured length.
        """
        habits = self._history.habits(model, rule)
        return None if self._configured or habits is None else habits.lengths.mean(bound)

    def input_basis(self, model: str, rule: str) -> Basis:
        """The source of the input tokens of a route."""
        counted = self._counted.get(model)
        if counted is not None:
            return Basis("counted", counted.rows, counted.factor, error=counted.error)
        inputs, _ = self._route(model, rule)
        if inputs.answers >= ENOUGH:
            return Basis("history", inputs.answers, inputs.total)
        return Basis("rule", 0, 1.0)

    def output_basis(self, model: str, rule: str, rows: int) -> Basis:
        """The source of the output tokens of a route with so many *rows*."""
        if self._configured:
            return Basis("configured")
        _, habits = self._route(model, rule)
        if habits is None:
            return Basis("rule")
        lengths = habits.lengths
        return Basis(
            "history",
            len(lengths),
            error=lengths.error(rows),
            low=lengths.quantile(_SHORT),
            high=lengths.quantile(_LONG),
        )

    def _cost_of(
        self,
        call: Call,
        price: Callable[[RequestShape, ExpectedTokens], Pico],
        worst: Callable[[Call], Pico],
        *,
        caches: bool = True,
    ) -> Pico:
        request = shape_of(call)
        if request.caches and not caches:
            request = replace(request, caches=False)
        expected = self.expect(request)
        try:
            cost = price(request, expected)
            if (
                expected.usage.total_input > call.size.input_bound
                or expected.web_searches > call.size.web_searches_bound
                or expected.usage.cache_creation_input_tokens
            ):
                # More than is possible, or written for longer than this row may ask.
                # Not of every row: this runs for each.
                cost = min(cost, worst(call))
        except UnknownPrice:
            return 0
        return cost

    def _route(self, model: str, rule: str) -> tuple[InputRatios, RouteUsage | None]:
        found = self._routes.get((model, rule))
        if found is None:
            habits = self._history.habits(model, rule)
            inputs = (
                habits.inputs if habits is not None else self._history.inputs(model) or _BUILT_IN
            )
            counted = self._counted.get(model)
            if counted is not None:
                # Two standard errors below: nineteen counts in twenty lie above.
                inputs = replace(
                    inputs.scaled(counted.factor), low=counted.factor * (1 - 2 * counted.error)
                )
            found = self._routes[model, rule] = inputs, habits
        return found

    def _mean(self, request: RequestShape, habits: RouteUsage | None) -> float:
        if self._configured or habits is None:
            return request.output_estimate
        return habits.lengths.mean(request.output_bound)


def _linear(cost: Callable[[str, Usage], Pico], model: str, usage: Usage, output: float) -> Pico:
    """The cost of *usage* with *output* tokens. A mean is not rounded to whole tokens:
    that is a twentieth of a one-word answer.
    """
    without = cost(model, usage)
    return without + round((cost(model, _with_output(usage, _STEP)) - without) * output / _STEP)


_FIELDS = tuple(field.name for field in fields(Usage))
_values = attrgetter(*_FIELDS)


def _with_output(usage: Usage, tokens: int) -> Usage:
    # For each request: `dataclasses.replace` takes twice as long.
    counts: dict[str, Any] = dict(zip(_FIELDS, _values(usage), strict=True))
    counts["output_tokens"] = tokens
    return Usage(**counts)


def _usage(request: RequestShape, inputs: InputRatios, habits: RouteUsage | None) -> Usage:
    geo = request.geo or (habits.geo if habits is not None else None)
    estimate = request.input_estimate
    # Past requests of this model may have used the prompt cache: without it, every
    # token is billed at the full rate.
    shares = inputs.shares if request.caches else {"input_tokens": inputs.total}
    tokens: dict[str, Any] = {name: round(estimate * share) for name, share in shares.items()}
    return Usage(**tokens, inference_geo=geo, speed=request.speed)
