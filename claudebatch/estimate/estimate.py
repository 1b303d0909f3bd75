"""`run --dry-run`: the checks, routes and keys of a real run, without a request, a file
or an import for sending.

First all rows are put into an index, then they are priced. The sample that the API may
count and the comparison with other models are drawn from the index.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any, TypeAlias

from claudebatch.core.domain import Call, Pico
from claudebatch.core.reports import DeadlinePlan, Elsewhere, Estimate, EstimateLine
from claudebatch.estimate.batch_plan import BatchChances
from claudebatch.estimate.cache_sums import CacheSums
from claudebatch.estimate.compare_models import SAMPLE, Comparison, Group, weight
from claudebatch.estimate.counted_sample import CountedRow, counted
from claudebatch.estimate.deadline import Deadline
from claudebatch.estimate.duration import ApiModel, Durations
from claudebatch.estimate.forecast import ExpectedTokens, Forecast, SampleRatio
from claudebatch.estimate.history import History
from claudebatch.estimate.request_shape import PlannedRow, RequestShape
from claudebatch.estimate.row_costs import FREE, costed
from claudebatch.estimate.scratch_index import (
    EarlierResults,
    RouteTotals,
    ScratchIndex,
    planned,
)
from claudebatch.estimate.ways import Ways, batch_times
from claudebatch.inputs import ALL_ROWS, Selection
from claudebatch.setup.input_files import InputFile
from claudebatch.setup.run_setup import RunSetup

Count: TypeAlias = Callable[[Iterable[Call]], Iterable[CountedRow]]
"""Lets the API count the tokens of calls; omits those that it cannot count."""

# Seed of the sample: the same file must give the same estimate each time.
_SEED = 20_261_122


@dataclass(frozen=True, slots=True)
class EstimateOptions:
    """The basis of an estimate, beside the rows themselves."""

    history: History
    api: ApiModel
    today: date
    """Models that are retired on this day are not compared."""
    count: Count | None = None
    count_rows: int = 0
    """Rows of each model that the API counts."""
    batch_durations: Sequence[tuple[int, float]] = ()
    """(requests, seconds) of batches that have ended."""
    deadline_s: float | None = None
    """Seconds from now until all is to be answered, where a plan is asked for."""
    batch_pace: float = 1.0
    """Batches live so many times faster than the API's."""
    spent: Pico = 0
    """Of the cap, by earlier sessions of the run."""


def estimate(
    run_setup: RunSetup,
    files: Sequence[InputFile],
    earlier: EarlierResults,
    questions: EstimateOptions,
    *,
    limit: int | None,
    selection: Selection = ALL_ROWS,
    cap: Pico | None,
    output: str,
) -> Estimate:
    """The rows and cost of a run over *files*. Raises `InvalidInput` like the run
    itself.
    """
    with planned(run_setup, files, earlier, limit=limit, selection=selection) as plan:
        sizes = _counts(plan, questions)
        forecast = Forecast(
            run_setup.prices,
            questions.history,
            configured_output=run_setup.settings.expected_output_tokens is not None,
            counted=sizes,
        )
        sums = _summed(plan, run_setup, questions, forecast)
        comparison = Comparison(run_setup.catalog.current(questions.today), forecast, run_setup)
        rows, finished, routes = plan.route_totals()
        lines = tuple(sums.line(totals) for totals in routes)
        # Without a price nobody can say which way is cheaper.
        known = all(line.price_known for line in lines)
        ways = sums.ways.all()
        return Estimate(
            rows=rows,
            finished=finished,
            duplicates=sum(totals.duplicates for totals in routes),
            lines=lines,
            cap=cap,
            output=output,
            **_duration(sums.ways.durations),
            batch=next((way.expected for way in ways if way.name == "batch"), 0),
            ways=ways if known else (),
            batch_times=batch_times(questions.batch_durations),
            plan=_planned(sums.deadline, run_setup, questions, cap) if known else None,
            bad_rows=plan.bad_rows,
            left_out=tuple(plan.left_out),
            asked_otherwise=plan.asked_otherwise,
            notices=plan.notices,
            elsewhere=_compared(plan, comparison, sums),
            prompt_cache=sums.cache.use(plan.kept_beginnings()) if known else None,
        )


def _summed(
    plan: ScratchIndex, run_setup: RunSetup, questions: EstimateOptions, forecast: Forecast
) -> _Sums:
    """The rows of *plan*, priced by *forecast*."""
    settings = run_setup.settings
    sums = _Sums(
        forecast,
        Ways(
            settings.batches,
            lambda: Durations(settings.limits, run_setup.catalog, questions.api, before=forecast),
        ),
        planned=questions.deadline_s is not None,
    )
    for row in plan.sent():
        sums.add(row)
    # Free as it is, but not at another model: the comparison needs their weight.
    for request in plan.cached():
        sums.weigh(request, forecast.expect(request), cached=True)
    return sums


def _duration(durations: Durations) -> dict[str, Any]:
    """The seconds of the slowest pool, and what it waits for, as fields of the
    estimate.
    """
    longest = durations.longest()
    if longest is None:
        return {"seconds": 0.0}
    return {"seconds": longest.seconds, "bound_by": longest.reason, "bound_pool": longest.pool}


def _planned(
    deadline: Deadline | None, run_setup: RunSetup, questions: EstimateOptions, cap: Pico | None
) -> DeadlinePlan | None:
    if deadline is None or questions.deadline_s is None:
        return None
    pace = questions.batch_pace
    return deadline.plan(
        BatchChances([seconds for _, seconds in questions.batch_durations], pace=pace),
        deadline_s=questions.deadline_s,
        left=None if cap is None else max(0, cap - questions.spent),
        cancel_s=run_setup.settings.batches.cancel_s / pace,
    )


def _compared(plan: ScratchIndex, comparison: Comparison, sums: _Sums) -> tuple[Elsewhere, ...]:
    """The cost of the rows at other models, from a sample of them."""
    for cached in (False, True):
        for positions in plan.sample(SAMPLE, random.Random(_SEED), cached=cached).values():
            for call, share in plan.calls_with_shares(positions):
                comparison.add(call, share, cached=cached)
    return comparison.of(sums.weights)


def _counts(plan: ScratchIndex, questions: EstimateOptions) -> dict[str, SampleRatio]:
    """The API's counts of a sample of each model's rows."""
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

    def __init__(self, forecast: Forecast, ways: Ways, *, planned: bool) -> None:
        self._forecast = forecast
        # Mutable, changed by `add` only.
        self.ways = ways
        self.deadline = Deadline(ways.at_once) if planned else None
        self.weights: defaultdict[Group, float] = defaultdict(float)
        self._lines: defaultdict[tuple[str, str], _Line] = defaultdict(_Line)
        self.cache = CacheSums()

    def add(self, row: PlannedRow) -> None:
        """Add the next row."""
        request, found = row.shape, costed(row, self._forecast)
        line, expected = self._lines[request.model, request.rule], found.expected
        line.rows += 1
        line.request_bytes += row.request_bytes
        line.input_tokens += expected.usage.total_input
        line.output_low += found.short.output_tokens
        line.output_tokens += expected.output_tokens
        line.output_bound += request.output_bound
        self.weigh(request, expected)
        # Without a price the row still takes its time, and goes by its road.
        live, batch = found.live or FREE, found.batch or FREE
        via = self.ways.add(found.call, waits=row.waits, live=live, batch=batch)
        if self.deadline is not None:
            kind = self.ways.kind(request.rule, fits=row.waits)
            live, batch = found.for_plan
            self.deadline.add(found.call, weight(expected), kind=kind, live=live, batch=batch)
        cost = found.batch if via == "batch" else found.live
        line.known &= cost is not None
        if cost is not None:
            line.low += cost.low
            line.expected += cost.expected
            line.worst += cost.worst
            if via == "live":
                self.cache.add(row, found)
            else:
                self.cache.add_in_batch(found)

    def weigh(
        self, request: RequestShape, expected: ExpectedTokens, *, cached: bool = False
    ) -> None:
        """Add to the weight of the row's group."""
        self.weights[Group(request.model, cached)] += weight(expected)

    def line(self, totals: RouteTotals) -> EstimateLine:
        """One route of the report."""
        sums = self._lines[totals.model, totals.rule]
        return EstimateLine(
            model=totals.model,
            rule=totals.rule,
            rows=totals.rows,
            cached=totals.cached,
            input_tokens=sums.input_tokens,
            output_tokens=round(sums.output_tokens),
            low=sums.low,
            expected=sums.expected,
            worst=sums.worst,
            price_known=sums.known,
            output_low=round(sums.output_low),
            output_worst=sums.output_bound,
            request_bytes=sums.request_bytes,
            inputs=self._forecast.input_basis(totals.model, totals.rule),
            outputs=self._forecast.output_basis(totals.model, totals.rule, sums.rows),
        )
