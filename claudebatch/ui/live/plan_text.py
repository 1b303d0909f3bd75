"""The plan of a run for its deadline, in words and as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from claudebatch.core.clock_text import clock_text
from claudebatch.core.events import PlanMade
from claudebatch.core.plurals import counted
from claudebatch.core.reports import DeadlinePlan
from claudebatch.ui import format as fmt
from claudebatch.ui.live.batch_text import moment
from claudebatch.ui.tables.plan_table import plan_json, short_of_money


def plan_news(event: PlanMade) -> Iterator[str]:
    """The plan in a few lines."""
    plan = event.plan
    if event.revised:
        # The split stays what it was: only the moment is another one.
        yield (
            f"plan: batches came back, so those with the other {counted(event.rows, 'row')} have "
            f"until {_clock(event.give_up_ms)}"
        )
        return
    if not plan.parts:
        return
    if plan.late or plan.give_up_s is None:
        yield (
            f"plan for {_clock(event.deadline_ms)}: {_at_once(plan)}; no batch can be waited for"
        )
    else:
        parts = [
            f"{counted(plan.batch_rows, 'row')} by batch, about {fmt.money(plan.by_batch)}",
            *([_at_once(plan)] if plan.live_rows else []),
        ]
        yield f"plan for {_clock(event.deadline_ms)}: {'; '.join(parts)}"
    if short := short_of_money(plan):
        yield f"plan: {short.removesuffix('.')}"
    if event.give_up_ms is not None:
        yield (
            f"plan: batches that have not ended by {_clock(event.give_up_ms)} are canceled, and "
            f"their rows sent at once: then about {fmt.money(plan.live)} in all{_odds(plan)}"
        )


def plan_event_json(event: PlanMade) -> dict[str, Any]:
    """The fields of *event*: those of an estimate's plan, and its moments."""
    return {
        "deadline_at": moment(event.deadline_ms),
        "give_up_at": moment(event.give_up_ms),
        "revised": event.revised,
        "waiting_rows": event.rows if event.revised else event.plan.batch_rows,
        **(plan_json(event.plan) or {}),
    }


def _at_once(plan: DeadlinePlan) -> str:
    return (
        f"{counted(plan.live_rows, 'row')} at once, about {fmt.money(plan.at_once)} and "
        f"{fmt.seconds(plan.at_once_s)}"
    )


def _odds(plan: DeadlinePlan) -> str:
    if plan.give_up_s is None:
        return ""
    # A guess from the documentation is no figure to show.
    if not plan.past_batches:
        return "; the odds are unknown: no batch of this machine has ended yet"
    past = counted(plan.past_batches, "earlier batch", "earlier batches")
    return f"; {round(plan.chance * 100)} in 100 end before, by {past}"


def _clock(ms: int | None) -> str:
    return clock_text(ms or 0)
