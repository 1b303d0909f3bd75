"""What a row may cost by each road, and its call for the simulated rate limiter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from claudebatch.core.domain import Call, Pico, Prompt, Route, Size
from claudebatch.core.send_via import fits_a_batch
from claudebatch.estimate.forecast import ExpectedTokens, Forecast
from claudebatch.estimate.request_shape import PlannedRow, RequestShape, shape_of
from claudebatch.estimate.ways import RowCost
from claudebatch.models.prices import UnknownPrice
from claudebatch.setup.run_setup import RunSetup

FREE = RowCost(0, 0, 0)
_NO_PROMPT = Prompt("", {})


@dataclass(frozen=True, slots=True)
class CostedRow:
    """A row with its expected tokens and its cost; None: no price."""

    call: Call
    """Without its prompt: of so many tokens."""
    expected: ExpectedTokens
    short: ExpectedTokens
    """If little is to be read and to be said."""
    live: RowCost | None
    batch: RowCost | None


def planned_row(run_setup: RunSetup, call: Call) -> PlannedRow:
    """What an estimate keeps of *call*."""
    return PlannedRow(
        shape_of(call),
        worst=_priced(run_setup.worst_of_row, call),
        batch_worst=_priced(run_setup.batch_worst_of_row, call),
        waits=fits_a_batch(call.prompt),
        request_bytes=len(call.body),
    )


def costed(row: PlannedRow, forecast: Forecast) -> CostedRow:
    """*row* with what *forecast* expects of it."""
    request = row.shape
    expected, short = forecast.expect(request), forecast.at_least(request)
    tokens = (short, expected)
    return CostedRow(
        _call(request, expected.usage.total_input, round(expected.output_tokens)),
        expected,
        short,
        live=_cost(row, forecast.cost, row.worst, tokens),
        batch=_cost(row, forecast.batch_cost, row.batch_worst, tokens),
    )


def _cost(
    row: PlannedRow,
    price: Callable[[RequestShape, ExpectedTokens], Pico],
    worst: Pico | None,
    tokens: tuple[ExpectedTokens, ExpectedTokens],
) -> RowCost | None:
    """What *row* costs with its least and its expected *tokens*; None: no price."""
    if worst is None:
        return None
    try:
        low, expected = (price(row.shape, some) for some in tokens)
    except UnknownPrice:  # fast mode of a model without a price for it
        return None
    # Nothing costs more than its worst case, whatever earlier answers make likely, or
    # how long a prompt is: of one beyond its window the API bills nothing.
    expected = min(expected, worst)
    return RowCost(min(low, expected), expected, worst)


def _priced(worst: Callable[[Call], Pico], call: Call) -> Pico | None:
    try:
        return worst(call)
    except UnknownPrice:
        return None


def _call(request: RequestShape, input_tokens: int, output_tokens: int) -> Call:
    """A row as a call, for the simulated rate limiter."""
    size = Size(
        input_tokens=input_tokens,
        input_bound=input_tokens,
        output_tokens=output_tokens,
        output_bound=output_tokens,
    )
    return Call(
        row=0,
        prompt=_NO_PROMPT,
        route=Route(request.model, request.rule),
        model=request.model,
        body=b"",
        size=size,
    )
