"""The plan for a deadline as aligned text, and the same as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claudebatch.core.plurals import counted
from claudebatch.core.reports import DeadlinePlan, Estimate
from claudebatch.ui import format as fmt
from claudebatch.ui.tables.table import fitted

_UP_TO_A_DAY = "up to 24 h"


@dataclass(frozen=True, slots=True)
class PlanCommands:
    """What to type for each way."""

    now: str
    tonight: str
    mixed: str


def render_plan(
    plan: DeadlinePlan, estimate: Estimate, commands: PlanCommands, *, width: int = 0
) -> list[str]:
    """What goes by batch and what at once, and what each way costs and takes."""
    if plan.late:
        about = fmt.seconds(plan.live_s)
        return [
            f"Within {fmt.seconds(plan.deadline_s)}: not even all at once, which takes about "
            f"{about}.",
            *_commands(plan, estimate, commands, width),
        ]
    lines = [f"Within {fmt.seconds(plan.deadline_s)}, with a tenth of it to spare:"]
    if plan.give_up_s is None:
        return [
            *lines,
            "all rows at once: no batch can be waited for.",
            *_commands(plan, estimate, commands, width),
        ]
    # Each rule once for each road: a split rule stands in both.
    header = ("part", "model", "rule", "rows")
    rows = [
        (name, part.model, part.rule, fmt.count(number))
        for name, numbers in (
            ("by batch", [part.batch_rows for part in plan.parts]),
            ("at once", [part.live_rows for part in plan.parts]),
        )
        for part, number in zip(plan.parts, numbers, strict=True)
        if number
    ]
    lines += fitted("<<<>", header, rows, width=width, drop=("rule",))
    lines += [
        f"Batches that have not ended after {fmt.seconds(plan.give_up_s)} are given up: canceled, "
        f"and sent at once.",
        f"{round(plan.chance * 100)} in 100 batches end before, by {_basis(plan)}.",
        *([short] if (short := short_of_money(plan)) else []),
        *_commands(plan, estimate, commands, width),
    ]
    return lines


def short_of_money(plan: DeadlinePlan) -> str | None:
    """Says so where the cap may stop some of the rows."""
    if not plan.short:
        return None
    left = fmt.money(plan.left or 0)
    return (
        f"{left} are left of the cap, and all at once would take about {fmt.money(plan.live)}: "
        f"rows of late batches may stay to be done."
    )


def _basis(plan: DeadlinePlan) -> str:
    if not plan.past_batches:
        return "what the API says of batches: this machine has seen none end"
    past = counted(plan.past_batches, "earlier batch", "earlier batches")
    return f"{past} of this machine and what the API says"


def _commands(
    plan: DeadlinePlan, estimate: Estimate, commands: PlanCommands, width: int
) -> list[str]:
    # By the estimate of all rows: the plan knows only what is worth its while.
    by_batch = next((way for way in estimate.ways if way.name == "batch"), None)
    rows = [("now", fmt.money(plan.live), fmt.seconds(plan.live_s), commands.now)]
    if by_batch is not None and by_batch.batch_rows:
        rows.append(("tonight", fmt.money(by_batch.expected), _UP_TO_A_DAY, commands.tonight))
    if plan.give_up_s is not None:
        within = f"{fmt.seconds(plan.latest_s)} at most"
        rows.append(("mixed", fmt.money(plan.expected), within, commands.mixed))
    return ["", *fitted("<><<", ("", "expected", "time", "command"), rows, width=width, drop=())]


def plan_json(plan: DeadlinePlan | None) -> dict[str, Any] | None:
    """The fields of *plan*."""
    if plan is None:
        return None
    return {
        "deadline_seconds": plan.deadline_s,
        "batch_rows": plan.batch_rows,
        "live_rows": plan.live_rows,
        "give_up_seconds": None if plan.give_up_s is None else round(plan.give_up_s, 1),
        "chance": round(plan.chance, 4),
        "past_batches": plan.past_batches,
        "latest_seconds": round(plan.latest_s, 1),
        "expected_usd": fmt.usd_string(plan.expected),
        "all_live_seconds": round(plan.live_s, 1),
        "all_live_usd": fmt.usd_string(plan.live),
        "left_usd": None if plan.left is None else fmt.usd_string(plan.left),
        "parts": [
            {
                "model": part.model,
                "rule": part.rule,
                "kind": part.kind,
                "batch_rows": part.batch_rows,
                "live_rows": part.live_rows,
            }
            # Not in the order in which rows came by: a dry run reads them otherwise.
            for part in sorted(plan.parts, key=lambda part: (part.model, part.rule, part.kind))
        ],
    }
