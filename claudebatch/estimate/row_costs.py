"""What a row may cost by each road, and its call for the simulated rate limiter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from claudebatch.core.domain import Call, Pico, Prompt, PromptTokens, Route, Size
from claudebatch.core.limit_headers import Limits
from claudebatch.core.send_via import fits_a_batch
from claudebatch.estimate.cached_share import (
    FEWEST_HITS,
    MOST_HITS,
    NO_SHARE,
    USUAL_HITS,
    in_batch,
    with_cache,
)
from claudebatch.estimate.forecast import ExpectedTokens, Forecast
from claudebatch.estimate.request_shape import CachedShare, PlannedRow, RequestShape, shape_of
from claudebatch.estimate.ways import RowCost
from claudebatch.models.prices import UnknownPrice
from claudebatch.setup.run_setup import RunSetup

FREE = RowCost(0, 0, 0)
_NO_PROMPT = Prompt("", {})


class BatchRange(NamedTuple):
    """The expected cost of a row in a batch, by what is read of the marked part."""

    most: Pico
    """With the most hits of the documented range."""
    fewest: Pico
    unmarked: Pico


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
    uncached: RowCost | None
    """At once, if nothing of it were marked."""
    uncached_batch: RowCost | None
    """The same in a batch."""
    unread: Pico
    """Expected at once, if what it shares were written twice and never read."""
    in_batch: BatchRange | None = None
    """Expected in a batch that marks what it shares; None: nothing is marked."""

    @property
    def for_plan(self) -> tuple[RowCost, RowCost]:
        """At once and by batch, as a plan that may not be dearer counts them: with the
        fewest hits that a batch can have.
        """
        batch = self.batch or FREE
        if self.in_batch is not None:
            batch = batch._replace(expected=max(batch.expected, self.in_batch.fewest))
        return self.live or FREE, batch


def marked_worst(run_setup: RunSetup, call: Call) -> tuple[Pico | None, ...]:
    """The worst cases of *call* with a mark: at once for five minutes, at once for an
    hour, and in a batch, for an hour. None: no price.
    """
    # Prices look for these words in the body, wherever they stand.
    minutes = replace(call, body=call.body + b'"cache_control"')
    hour = replace(call, body=minutes.body + b'"1h"')
    at_once = (_priced(run_setup.worst_of_row, one) for one in (minutes, hour))
    return (*at_once, _priced(run_setup.batch_worst_of_row, hour))


def planned_row(run_setup: RunSetup, call: Call) -> PlannedRow:
    """What an estimate keeps of *call*."""
    return PlannedRow(
        shape_of(call),
        worst=_priced(run_setup.worst_of_row, call),
        batch_worst=_priced(run_setup.batch_worst_of_row, call),
        waits=fits_a_batch(call.prompt),
        request_bytes=len(call.body),
    )


def costed(row: PlannedRow, forecast: Forecast, *, low: bool = True) -> CostedRow:
    """*row* with what *forecast* expects of it; without *low*, nothing lower is asked
    for.
    """
    request = row.shape
    expected = forecast.expect(request)
    short = forecast.at_least(request) if low else expected
    tokens = (short, expected)
    live = uncached = _cost(row, forecast.cost, row.worst, tokens)
    unread, limited = live.expected if live else 0, expected.usage.limited_input
    if row.share is not None:
        cached = with_cache(short, row.share), with_cache(expected, row.share)
        live = _cost(row, forecast.cost, row.marked_worst, cached)
        unread += 2 * _surcharge(row, row.share, forecast, expected) if live else 0
        # What is read does not count against input tokens per minute.
        limited = cached[1].usage.limited_input
    batch = uncached_batch = _cost(row, forecast.batch_cost, row.batch_worst, tokens)
    spread = _batch_range(row, forecast, expected, batch) if row.batch_share else None
    if spread is not None:
        batch = _cost(row, forecast.batch_cost, row.batch_marked_worst, _hit(row, short, expected))
    return CostedRow(
        _call(request, limited, round(expected.output_tokens), streamed=row.share is not None),
        expected,
        short,
        live=live,
        batch=batch,
        uncached=uncached,
        uncached_batch=uncached_batch,
        unread=unread,
        in_batch=spread,
    )


def _hit(
    row: PlannedRow, short: ExpectedTokens, expected: ExpectedTokens
) -> tuple[ExpectedTokens, ExpectedTokens]:
    """The least and the expected tokens of *row* in a batch that marks what it
    shares.
    """
    most, usual = (in_batch(row.batch_share, hits) for hits in (MOST_HITS, USUAL_HITS))
    return with_cache(short, most), with_cache(expected, usual)


def _batch_range(
    row: PlannedRow, forecast: Forecast, expected: ExpectedTokens, unmarked: RowCost | None
) -> BatchRange | None:
    if unmarked is None:
        return None
    most, fewest = (
        forecast.batch_cost(row.shape, with_cache(expected, in_batch(row.batch_share, hits)))
        for hits in (MOST_HITS, FEWEST_HITS)
    )
    return BatchRange(most, fewest, unmarked.expected)


def _surcharge(
    row: PlannedRow, share: CachedShare, forecast: Forecast, expected: ExpectedTokens
) -> Pico:
    """What writing its share costs beyond plain input."""
    written, plain = with_cache(expected, share, read=False), with_cache(expected, NO_SHARE)
    return forecast.cost(row.shape, written) - forecast.cost(row.shape, plain)


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
        short, usual = tokens
        expected = price(row.shape, usual)
        # A price takes a third of the time of a row.
        low = expected if short is usual else price(row.shape, short)
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


class _Stream:
    """An observer that sees nothing: only that there is one counts."""

    def began(self, limits: Limits | None) -> None:
        """The head of the response came."""

    def read(self, prompt: PromptTokens) -> None:
        """The prompt is read."""

    def showed(self, size: int) -> None:
        """The answer has grown."""

    def hides(self) -> None:
        """It grows by what is not shown."""


_STREAM = _Stream()


def _call(request: RequestShape, input_tokens: int, output_tokens: int, *, streamed: bool) -> Call:
    """A row as a call, for the simulated rate limiter. *streamed*: it shares a
    beginning, and of those the answers that come first are streams.
    """
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
        watch=_STREAM if streamed else None,
    )
