"""The commands that a plan for a deadline comes to."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from claudebatch.core.reports import DeadlinePlan
from claudebatch.ui.format import seconds
from claudebatch.ui.tables.plan_table import PlanCommands

# What an estimate is asked for, and a run is not; with a value, and without.
_WITH_VALUE = ("--deadline", "--count", "--via")
_ALONE = ("--json", "--verbose", "-v", "-vv", "--batch", "--dry-run")


def plan_commands(given: Sequence[str], plan: DeadlinePlan) -> PlanCommands:
    """*given*: the command line of the estimate, from `claudebatch` on."""
    # The user's own words: a command made anew could leave an option out.
    run = ["run" if n == 1 and word == "estimate" else word for n, word in enumerate(_kept(given))]
    now, tonight = shlex.join(run), shlex.join([*run, "--batch"])
    return PlanCommands(now, tonight, tuple(_mixed(plan, run, now, tonight)))


def _mixed(plan: DeadlinePlan, run: list[str], now: str, tonight: str) -> list[str]:
    split = [part for part in plan.parts if part.live_rows and part.batch_rows]
    whole = all(not (part.live_rows and not part.batch_rows) for part in plan.parts)
    steps: list[str] = []
    if split:
        # Only of rows that are all alike the first ones are as good as any.
        if len(plan.parts) > 1 or "-n" in run or "--limit" in run:
            return []
        steps.append(shlex.join([*run, "-n", str(plan.live_rows)]))
    elif not whole:
        # Some rules by batch, others at once: no option says that, only the rules do.
        return []
    # What a canceled batch has not answered, the same run sends at once.
    late = f"after {seconds(plan.give_up_s or 0.0)}, if it has not ended: cancel it, and {now}"
    return [*steps, tonight, late]


def _kept(given: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in given:
        if skip:
            skip = False
        elif word in _WITH_VALUE:
            skip = True
        elif word not in _ALONE and not word.startswith(tuple(f"{w}=" for w in _WITH_VALUE)):
            kept.append(word)
    return kept
