"""Rows on their way to a plan for a deadline: in groups, with their time and cost."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from claudebatch.core.domain import Call, Pico
from claudebatch.core.reports import DeadlinePlan, PlanPart
from claudebatch.estimate.batch_plan import BatchChances, RowGroup, Split, split
from claudebatch.estimate.duration import Durations
from claudebatch.estimate.ways import RowCost


@dataclass(slots=True)
class _Rows:
    """Rows of one model, rule and kind. Mutable, changed by `Deadline.add` only."""

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
        # Mutable: by model, rule and whether a batch can take them.
        self._groups: dict[tuple[str, str, bool], _Rows] = {}
        self._weights: defaultdict[str, float] = defaultdict(float)

    def add(self, call: Call, weight: float, *, waits: bool, live: RowCost, batch: RowCost) -> None:
        """Take in a row that the durations have, too; *weight*: its part of time."""
        # Kept apart by kind: rows that must not wait take time, but never a batch.
        pool = self._durations.pool_of(call)
        key = (call.model, call.route.rule, waits)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Rows(pool)
        group.rows += 1
        group.weight += weight
        group.live += live.expected
        group.batch += batch.expected
        group.batch_worst += batch.worst
        self._weights[pool] += weight

    def plan(self, chances: BatchChances, *, deadline_s: float, left: Pico | None) -> DeadlinePlan:
        """The plan for what was added; *left*: dollars that may still be spent."""
        found = self._split(chances, deadline_s, left)
        return DeadlinePlan(
            deadline_s,
            tuple(
                PlanPart(
                    model,
                    rule,
                    live_rows=group.rows - found.batch_rows.get(_name(key), 0),
                    batch_rows=found.batch_rows.get(_name(key), 0),
                )
                for key, group in self._groups.items()
                for model, rule, _ in (key,)
            ),
            give_up_s=found.give_up_s,
            chance=found.chance,
            past_batches=chances.past,
            latest_s=found.latest_s,
            expected=found.expected,
            live_s=found.live_s,
            live=found.live,
        )

    def _split(self, chances: BatchChances, deadline_s: float, left: Pico | None) -> Split:
        seconds = self._durations.by_pool()
        groups = [
            RowGroup(
                _name(key),
                group.pool,
                rows=group.rows,
                # A pool's time is shared out by size: its limits count tokens, mostly.
                seconds=seconds[group.pool] * group.weight / (self._weights[group.pool] or 1.0),
                live=group.live,
                batch=group.batch,
                batch_worst=group.batch_worst,
                waits=key[2],
            )
            for key, group in self._groups.items()
        ]
        # Loading the client comes once, however many rows follow.
        start_s = self._durations.start_s
        return split(groups, chances, deadline_s=deadline_s, start_s=start_s, left=left)


def _name(key: tuple[str, str, bool]) -> str:
    # No rule has this character in its name.
    return "\0".join(map(str, key))
