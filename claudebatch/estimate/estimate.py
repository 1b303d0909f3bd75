"""`run --dry-run`: the same checks, routes and keys as a real run, and nothing sent,
written or imported for sending.

First the rows are put into a plan, then they are priced: what a sample shows, if the
API is asked to count one, and what the comparison with other models needs, both come
out of the plan.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from claudebatch.core.domain import Call, Pico, Prompt, Route, Size
from claudebatch.core.reports import Elsewhere, Estimate, EstimateLine
from claudebatch.estimate.compare_models import SAMPLE, Comparison, Group, weight
from claudebatch.estimate.counted_sample import CountedRow, counted
from claudebatch.estimate.duration import ApiModel, Durations
from claudebatch.estimate.forecast import ExpectedTokens, Forecast, SampleRatio
from claudebatch.estimate.history import History
from claudebatch.estimate.request_shape import RequestShape
from claudebatch.estimate.scratch_index import EarlierResults, RouteTotals, ScratchIndex, planned
from claudebatch.models.prices import UnknownPrice
from claudebatch.setup.run_setup import RunSetup

Count: TypeAlias = Callable[[Iterable[Call]], Iterable[CountedRow]]
"""Asks the API how many tokens calls are; leaves those out that it cannot count."""

_NO_PROMPT = Prompt("", {})
_SEED = 20_261_122
"""Of the sample: the same file gives the same estimate."""


@dataclass(frozen=True, slots=True)
class EstimateOptions:
    """What an estimate goes by, beside the rows themselves."""

    history: History
    api: ApiModel
    today: date
    """Models that are retired on that day are not compared."""
    count: Count | None = None
    count_rows: int = 0
    """Of each model's rows, how many the API is asked to count."""


def estimate(
    run_setup: RunSetup,
    files: Sequence[Path],
    kept: EarlierResults,
    questions: EstimateOptions,
    *,
    limit: int | None,
    cap: Pico | None,
    output: str,
) -> Estimate:
    """What a run over *files* would do and cost. Raises `InvalidInput` as the run
    itself would.
    """
    with planned(run_setup, files, kept, limit=limit) as plan:
        sizes = _counts(plan, questions)
        forecast = Forecast(
            run_setup.prices,
            questions.history,
            configured_output=run_setup.settings.expected_output_tokens is not None,
            counted=sizes,
        )
        sums = _Sums(
            forecast,
            Durations(run_setup.settings.limits, run_setup.catalog, questions.api, before=forecast),
        )
        for row in plan.sent():
            sums.add(*row)
        for asked in plan.cached():
            sums.weigh(asked, forecast.expect(asked), cached=True)
        comparison = Comparison(run_setup.catalog.current(questions.today), forecast, run_setup)
        rows, finished, standings = plan.standings()
        longest = sums.durations.longest()
        return Estimate(
            rows,
            finished,
            sum(standing.duplicates for standing in standings),
            tuple(sums.line(standing) for standing in standings),
            cap,
            output,
            seconds=longest.seconds if longest else 0.0,
            bound_by=longest.reason if longest else None,
            bound_pool=longest.pool if longest else None,
            batch=sums.batch,
            bad_rows=plan.bad_rows,
            elsewhere=_compared(plan, comparison, sums),
        )


def _compared(plan: ScratchIndex, comparison: Comparison, sums: _Sums) -> tuple[Elsewhere, ...]:
    """What the rows would cost at other models, out of a sample of them."""
    for cached in (False, True):
        for positions in plan.sample(SAMPLE, random.Random(_SEED), cached=cached).values():
            for call in plan.calls(positions):
                comparison.add(call, cached=cached)
    return comparison.of(sums.weights)


def _counts(plan: ScratchIndex, questions: EstimateOptions) -> dict[str, SampleRatio]:
    """How the API counts a sample of each model's rows."""
    if questions.count is None:
        return {}
    sample = plan.sample(questions.count_rows, random.Random(_SEED))
    pairs: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in questions.count(plan.calls(chain.from_iterable(sample.values()))):
        pairs[row.model].append((row.estimated, row.counted))
    found = {model: counted(pairs[model], rows) for model, rows in plan.models().items()}
    return {model: said for model, said in found.items() if said is not None}


@dataclass(slots=True)
class _Line:
    rows: int = 0
    input_tokens: int = 0
    output_low: float = 0.0
    output_tokens: float = 0.0
    output_bound: int = 0
    request_bytes: int = 0
    low: Pico = 0
    expected: Pico = 0
    worst: Pico = 0
    known: bool = True


class _Sums:
    """Adds up the rows that will be sent. In Python: SQLite's sums of 64-bit integers
    fail at nine million dollars.
    """

    def __init__(self, forecast: Forecast, durations: Durations) -> None:
        self._forecast = forecast
        # Mutable, changed by `add` only.
        self.durations = durations
        self.batch: Pico = 0
        self.weights: defaultdict[Group, float] = defaultdict(float)
        self._lines: defaultdict[tuple[str, str], _Line] = defaultdict(_Line)

    def add(self, request: RequestShape, worst: Pico | None, request_bytes: int) -> None:
        """Take in the next row."""
        line = self._lines[request.model, request.rule]
        expected = self._forecast.expect(request)
        tokens = expected.usage.total_input
        line.rows += 1
        line.request_bytes += request_bytes
        line.input_tokens += tokens
        short = self._forecast.at_least(request)
        line.output_low += short.output_tokens
        line.output_tokens += expected.output_tokens
        line.output_bound += request.output_bound
        self.weigh(request, expected)
        self.durations.add(_call(request, tokens, round(expected.output_tokens)))
        if worst is None:
            line.known = False
        else:
            line.worst += worst
            self._price(line, request, short, expected)

    def weigh(
        self, request: RequestShape, expected: ExpectedTokens, *, cached: bool = False
    ) -> None:
        """Add to the size of all rows that are like this one."""
        self.weights[Group(request.model, cached)] += weight(expected)

    def line(self, standing: RouteTotals) -> EstimateLine:
        """One route of the report."""
        sums = self._lines[standing.model, standing.rule]
        return EstimateLine(
            standing.model,
            standing.rule,
            standing.rows,
            standing.cached,
            sums.input_tokens,
            round(sums.output_tokens),
            sums.low,
            sums.expected,
            sums.worst,
            sums.known,
            output_low=round(sums.output_low),
            output_worst=sums.output_bound,
            request_bytes=sums.request_bytes,
            inputs=self._forecast.input_basis(standing.model, standing.rule),
            outputs=self._forecast.output_basis(standing.model, standing.rule, sums.rows),
        )

    def _price(
        self, line: _Line, request: RequestShape, short: ExpectedTokens, expected: ExpectedTokens
    ) -> None:
        try:
            line.low += self._forecast.cost(request, short)
            line.expected += self._forecast.cost(request, expected)
            self.batch += self._forecast.batch_cost(request, expected)
        except UnknownPrice:  # fast mode, where it has none
            line.known = False


def _call(request: RequestShape, input_tokens: int, output_tokens: int) -> Call:
    """A row of the plan, as the pace sees it."""
    size = Size(input_tokens, input_tokens, output_tokens, output_tokens)
    return Call(0, _NO_PROMPT, Route(request.model, request.rule), request.model, b"", size)
