"""Rows on their way to a plan for a deadline: in groups, with their time and cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from claudebatch.core.domain import Call, Pico, RowKind
from claudebatch.core.reports import DeadlinePlan, PlanPart
from claudebatch.estimate.batch_plan import MARGIN, BatchChances, RowGroup, Split, split
from claudebatch.estimate.duration import Durations
from claudebatch.estimate.ways import RowCost


@dataclass(slots=True)
class _Rows:
    """Rows of one model, rule, kind and pool. Mutable, changed by `Deadline.add`
    only.
    """

    number: int
    model: str
    rule: str
    kind: RowKind
    pool: str
    rows: int = 0
    weight: float = 0.0
    live: Pico = 0
    batch: Pico = 0
    batch_worst: Pico = 0


class Deadline:
    """Adds up the rows of a run, and splits them."""

    def __init__(self, durations: Durations) -> None:
        """*durations* simulates all rows, sent at once."""
        self._durations = durations
        # Mutable: groups of rows that are alike, and the weights of pools.
        self._groups: dict[tuple[str, str, RowKind, str], _Rows] = {}
        self._weights: defaultdict[str, float] = defaultdict(float)

    def add(
        self, call: Call, weight: float, *, kind: RowKind, live: RowCost, batch: RowCost
    ) -> int:
        """Take in a row that the durations have, too; *weight*: its part of time.
        Returns the number of its part of the plan.
        """
        # Kept apart by kind: rows that must not wait take time, but never a batch.
        pool = self._durations.pool_of(call)
        key = (call.model, call.route.rule, kind, pool)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Rows(len(self._groups), *key)
        group.rows += 1
        group.weight += weight
        group.live += live.expected
        group.batch += batch.expected
        group.batch_worst += batch.worst
        self._weights[pool] += weight
        return group.number

    def plan(
        self,
        chances: BatchChances,
        *,
        deadline_s: float,
        left: Pico | None,
        cancel_s: float,
    ) -> DeadlinePlan:
        """The plan for what was added, its parts by their numbers; *left*: dollars that
        may still be spent.
        """
        # Their money is held whatever the plan says of the others.
        kept = [group for group in self._groups.values() if group.kind == "kept"]
        held = sum(group.batch_worst for group in kept)
        seconds = self._seconds()
        found = split(
            self._row_groups(seconds),
            chances,
            deadline_s=deadline_s,
            # Loading the client comes once, however many rows follow.
            start_s=self._durations.start_s,
            left=None if left is None else max(0, left - held),
            cancel_s=cancel_s,
        )
        # They go by batch whatever is planned: no way to send the others changes that.
        always = sum(group.batch for group in kept)
        return DeadlinePlan(
            deadline_s,
            tuple(_part(group, found, seconds[group.number]) for group in self._groups.values()),
            give_up_s=found.give_up_s,
            chance=found.chance,
            past_batches=chances.past,
            latest_s=found.latest_s,
            expected=found.expected + always,
            live_s=found.live_s,
            live=found.live + always,
            margin_s=deadline_s * MARGIN,
            cancel_s=cancel_s,
            start_s=self._durations.start_s,
            left=left,
        )

    def _seconds(self) -> list[float]:
        """The time of each group, by its number."""
        by_pool = self._durations.by_pool()
        return [
            # A pool's time is shared out by size: its limits count tokens, mostly.
            by_pool[group.pool] * group.weight / (self._weights[group.pool] or 1.0)
            for group in self._groups.values()
        ]

    def _row_groups(self, seconds: Sequence[float]) -> list[RowGroup]:
        # In an order of their own: a plan must not depend on which row came first.
        groups = sorted(self._groups.items())
        return [
            RowGroup(
                str(group.number),
                group.pool,
                rows=group.rows,
                seconds=seconds[group.number],
                live=group.live,
                batch=group.batch,
                batch_worst=group.batch_worst,
                waits=group.kind == "waits",
                sent=group.kind == "sent",
            )
            for _, group in groups
            if group.kind != "kept"
        ]


def _part(group: _Rows, found: Split, seconds: float) -> PlanPart:
    by_batch = group.rows if group.kind == "kept" else found.batch_rows.get(str(group.number), 0)
    return PlanPart(
        group.model,
        group.rule,
        live_rows=group.rows - by_batch,
        batch_rows=by_batch,
        kind=group.kind,
        pool=group.pool,
        seconds=seconds,
        weight=group.weight,
        live=group.live,
        batch=group.batch,
    )
