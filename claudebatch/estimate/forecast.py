"""What one row is expected to take and to cost, from what is known before it is sent.

A dry run adds this up over a file; a run adds it up over the rows that are answered, to
put it beside what they cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from claudebatch.core.domain import Call, Pico, Usage
from claudebatch.core.frozen import value
from claudebatch.core.reports import Basis
from claudebatch.estimate.history import ENOUGH, Habits, History, Inputs
from claudebatch.models.prices import PriceBook, UnknownPrice

# Where nothing was learned: answers may be short, and the input estimate, which leans
# to the high side, too high.
_LOW_INPUT = 0.8
_LOW_OUTPUT = 0.5
_BUILT_IN = Inputs(fresh=1.0, low=_LOW_INPUT)
_SHORT, _LONG = 0.1, 0.9
_STEP = 1000


@value
class RequestShape:
    """What a forecast looks at in a request."""

    model: str
    rule: str
    input_estimate: int
    """By the built-in rule, uncorrected."""
    output_estimate: int
    output_bound: int
    """`max_tokens`."""
    caches: bool = False
    """Whether it makes use of the API's prompt cache."""
    searches: bool = False
    geo: str | None = None
    speed: str | None = None


@value
class Expected:
    """What one request is expected to take: the input as it will be billed, and the
    output beside it.
    """

    usage: Usage
    output_tokens: float
    web_searches: float = 0.0


@dataclass(frozen=True, slots=True)
class Counted:
    """How the API counted a sample of a model's rows, against the built-in rule."""

    factor: float
    error: float
    """Standard error of *factor*, as a share of it."""
    rows: int


def asked(call: Call) -> RequestShape:
    """*call*, as a forecast sees it."""
    size, params = call.size, call.prompt.params
    return RequestShape(
        call.model,
        call.route.rule,
        size.input_tokens,
        size.output_tokens,
        size.output_bound,
        b'"cache_control"' in call.body,
        size.web_searches_bound > 0,
        params.get("inference_geo"),
        params.get("speed"),
    )


class Forecast:
    """Expects of each request what requests like it took. Pure: made once, it does not
    learn.
    """

    def __init__(
        self,
        prices: PriceBook,
        history: History,
        *,
        configured_output: bool = False,
        counted: Mapping[str, Counted] | None = None,
    ) -> None:
        """*configured_output*: the user said how long answers are; *counted*: by model,
        what a sample showed.
        """
        self._prices = prices
        self._history = history
        self._configured = configured_output
        self._counted = counted or {}
        # Mutable: how each route counts, filled as routes are asked for.
        self._routes: dict[tuple[str, str], tuple[Inputs, Habits | None]] = {}

    def expect(
        self, request: RequestShape, *, like: RequestShape | None = None, longer: float = 1.0
    ) -> Expected:
        """What *request* takes. Where nothing is known of its own route: what rows
        *like* this one do, whose answers have so many times as many tokens here.
        """
        inputs, habits = self._route(request.model, request.rule)
        if like is None or habits is not None:
            longer = 1.0
        elif like.model != request.model:
            others, habits = self._route(like.model, like.rule)
            inputs = inputs if inputs.answers else others
        searches = habits.web_searches if habits is not None and request.searches else 0.0
        output = min(self._mean(request, habits) * longer, request.output_bound)
        return Expected(_usage(request, inputs, habits), output, searches)

    def at_least(self, request: RequestShape) -> Expected:
        """What *request* takes if its input counts as little, and its answer is as
        short, as those of one in ten.
        """
        inputs, habits = self._route(request.model, request.rule)
        if self._configured or habits is None:
            output = request.output_estimate * _LOW_OUTPUT
        else:
            output = min(habits.lengths.quantile(_SHORT), request.output_bound)
        return Expected(_usage(request, inputs.scaled(inputs.low), habits), output)

    def cost(self, request: RequestShape, expected: Expected) -> Pico:
        """What *request* costs if it takes *expected*; raises `UnknownPrice`."""
        searches = round(expected.web_searches * self._prices.rates(request.model).search)
        return (
            _linear(self._prices.cost, request.model, expected.usage, expected.output_tokens)
            + searches
        )

    def batch_cost(self, request: RequestShape, expected: Expected) -> Pico:
        """What it costs on the Batches API; raises `UnknownPrice`."""
        searches = round(expected.web_searches * self._prices.rates(request.model).search)
        return (
            _linear(self._prices.batch_cost, request.model, expected.usage, expected.output_tokens)
            + searches
        )

    def cost_of(self, call: Call) -> Pico:
        """The expected cost of *call*; 0 where its model has no price."""
        request = asked(call)
        try:
            return self.cost(request, self.expect(request))
        except UnknownPrice:
            return 0

    def input_factor(self, model: str) -> float | None:
        """Tokens that *model* counted for each estimated one, however billed; None
        where nothing was learned.
        """
        inputs = self._history.inputs(model)
        return inputs.total if inputs is not None else None

    def mean_output(self, model: str, rule: str, bound: int) -> float | None:
        """The mean length of this route's answers that are cut at *bound*; None where
        nothing was learned or the user said it.
        """
        habits = self._history.habits(model, rule)
        return None if self._configured or habits is None else habits.lengths.mean(bound)

    def input_basis(self, model: str, rule: str) -> Basis:
        """Where the input tokens of a route come from."""
        counted = self._counted.get(model)
        if counted is not None:
            return Basis("counted", counted.rows, counted.factor, error=counted.error)
        inputs, _ = self._route(model, rule)
        if inputs.answers >= ENOUGH:
            return Basis("history", inputs.answers, inputs.total)
        return Basis("rule", 0, 1.0)

    def output_basis(self, model: str, rule: str, rows: int) -> Basis:
        """Where the output tokens of a route of so many *rows* come from."""
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

    def _route(self, model: str, rule: str) -> tuple[Inputs, Habits | None]:
        found = self._routes.get((model, rule))
        if found is None:
            habits = self._history.habits(model, rule)
            inputs = (
                habits.inputs if habits is not None else self._history.inputs(model) or _BUILT_IN
            )
            counted = self._counted.get(model)
            if counted is not None:
                inputs = replace(
                    inputs.scaled(counted.factor), low=counted.factor * (1 - 2 * counted.error)
                )
            found = self._routes[model, rule] = inputs, habits
        return found

    def _mean(self, request: RequestShape, habits: Habits | None) -> float:
        if self._configured or habits is None:
            return request.output_estimate
        return habits.lengths.mean(request.output_bound)


def _linear(cost: Callable[[str, Usage], Pico], model: str, usage: Usage, output: float) -> Pico:
    """What *usage* and so many tokens of output cost. A mean of 8.4 tokens is not
    rounded: it counts as 8.4.
    """
    without = cost(model, usage)
    return without + round((cost(model, _with_output(usage, _STEP)) - without) * output / _STEP)


def _with_output(usage: Usage, tokens: int) -> Usage:
    return Usage(
        usage.input_tokens,
        tokens,
        usage.ephemeral_5m_input_tokens,
        usage.ephemeral_1h_input_tokens,
        usage.cache_read_input_tokens,
        0,
        usage.inference_geo,
        usage.speed,
    )


def _usage(request: RequestShape, inputs: Inputs, habits: Habits | None) -> Usage:
    geo = request.geo or (habits.geo if habits is not None else None)
    estimate = request.input_estimate
    if not request.caches:
        return Usage(round(estimate * inputs.total), 0, 0, 0, 0, 0, geo, request.speed)
    return Usage(
        round(estimate * inputs.fresh),
        0,
        round(estimate * inputs.write_5m),
        round(estimate * inputs.write_1h),
        round(estimate * inputs.read),
        0,
        geo,
        request.speed,
    )
