"""The plan for a deadline in the run itself: of its rows, as they are then."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

from claudebatch.core.domain import Call, Pico, RowKind, Size
from claudebatch.core.reports import DeadlinePlan
from claudebatch.estimate.batch_plan import BatchChances
from claudebatch.estimate.cached_share import KeptBeginning, MarkedWorst, share_in_batch, share_of
from claudebatch.estimate.compare_models import weight
from claudebatch.estimate.deadline import Deadline
from claudebatch.estimate.duration import ApiModel, Durations
from claudebatch.estimate.forecast import Forecast
from claudebatch.estimate.request_shape import PlannedRow
from claudebatch.estimate.row_costs import costed, marked_worst, planned_row
from claudebatch.estimate.ways import RowCost
from claudebatch.setup.run_setup import RunSetup

# Rows of one size cost and take the same. Of a million different sizes each would take
# a tenth of a millisecond: beyond these, sizes are rounded to one in 128.
_EXACT_SIZES = 10_000
_ROUNDED_BITS = 7
# A call without its text has a few words in its body only; of others each is its own.
_LONGEST_STUB = 100


class _Planned(NamedTuple):
    """What the plan counts of a row."""

    call: Call
    weight: float
    kind: RowKind
    live: RowCost
    batch: RowCost
    known: bool


class RunPlanner:
    """Takes rows in their order and plans them as an estimate does: the same rows get
    the same plan.
    """

    def __init__(
        self,
        run_setup: RunSetup,
        forecast: Forecast,
        api: ApiModel,
        *,
        past_batches: Sequence[float],
        batch_pace: float,
    ) -> None:
        """*past_batches*: seconds that earlier ones took; *batch_pace*: how many times
        faster than the API's they live.
        """
        self._run_setup = run_setup
        self._forecast = forecast
        self._chances = BatchChances(past_batches, pace=batch_pace)
        self._cancel_s = run_setup.settings.batches.cancel_s / batch_pace
        limits, catalog = run_setup.settings.limits, run_setup.catalog
        # Mutable, changed by `add` only: what is known of rows, by all that decides it.
        self._sizes: dict[Hashable, _Planned] = {}
        self._durations = Durations(limits, catalog, api, before=forecast)
        self._deadline = Deadline(self._durations)
        self._known = True

    def add(
        self, call: Call, *, in_batch: bool, kept: Sequence[tuple[int, int, int]] = ()
    ) -> tuple[int, float, RowKind]:
        """Take in the next row; returns the number of its part of the plan, its weight
        in it, and its kind. *kept*: tokens, seconds and rows of each of its beginnings
        that the API is to keep, the shortest first.
        """
        found = self._of_its_size(call, kept)
        self._known &= found.known
        kind: RowKind = "sent" if in_batch else found.kind
        # First: the plan asks for the pool of each row that it has.
        self._durations.add(found.call)
        part = self._deadline.add(
            found.call, found.weight, kind=kind, live=found.live, batch=found.batch
        )
        return part, found.weight, kind

    def _of_its_size(self, call: Call, kept: Sequence[tuple[int, int, int]]) -> _Planned:
        if len(call.body) > _LONGEST_STUB:
            return self._planned(call, kept)
        if len(self._sizes) >= _EXACT_SIZES:
            call = replace(call, size=_rounded(call.size))
        params = repr(call.prompt.params) if call.prompt.params else ""
        key = (call.size, call.model, call.route.rule, call.body, params, tuple(kept))
        found = self._sizes.get(key)
        if found is None:
            found = self._sizes[key] = self._planned(call, kept)
        return found

    def _planned(self, call: Call, kept: Sequence[tuple[int, int, int]]) -> _Planned:
        row = self._row(call, [KeptBeginning(*one) for one in kept])
        found = costed(row, self._forecast, low=False)
        live, batch = found.for_plan
        return _Planned(
            found.call,
            weight(found.expected),
            self._run_setup.settings.batches.kind(row.shape.rule, fits=row.waits),
            live=live,
            batch=batch,
            known=found.live is not None,
        )

    def _row(self, call: Call, kept: Sequence[KeptBeginning]) -> PlannedRow:
        row = planned_row(self._run_setup, call)
        share = share_of(kept, row.shape.input_estimate) if kept else None
        if share is None:
            return row
        # Marks of its own are in its worst case already.
        own = row.shape.caches
        marked = MarkedWorst() if own else MarkedWorst(*marked_worst(self._run_setup, call))
        return row._replace(
            share=share,
            marked_worst=marked.of(kept, row.worst),
            batch_share=share_in_batch(kept, row.shape),
            batch_marked_worst=marked.batch,
        )

    def plan(self, deadline_s: float, *, left: Pico | None) -> DeadlinePlan | None:
        """The plan; *left*: dollars that may still be spent. None where a price is not
        known, and so not what is cheaper.
        """
        if not self._known:
            return None
        return self._deadline.plan(
            self._chances, deadline_s=deadline_s, left=left, cancel_s=self._cancel_s
        )


def _rounded(size: Size) -> Size:
    """*size*, its expectations to the nearest step and its bounds up: the money that a
    plan leaves for others is never too little.
    """
    return Size(
        _in_steps(size.input_tokens, up=False),
        _in_steps(size.input_bound, up=True),
        _in_steps(size.output_tokens, up=False),
        size.output_bound,
        size.web_searches_bound,
    )


def _in_steps(count: int, *, up: bool) -> int:
    step = 1 << max(0, count.bit_length() - _ROUNDED_BITS)
    return (count + (step - 1 if up else step // 2)) // step * step
