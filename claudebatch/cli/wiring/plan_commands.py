"""The commands of a plan for a deadline."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from claudebatch.ui.tables.plan_table import PlanCommands

# What an estimate is asked for, and a run is not; with a value, and without.
_WITH_VALUE = ("--count", "--via")
_ALONE = ("--json", "--verbose", "-v", "-vv", "--batch", "--dry-run")


def plan_commands(given: Sequence[str]) -> PlanCommands:
    """*given*: the command line of the estimate, from `claudebatch` on."""
    # The user's own words: a command made anew could leave an option out.
    kept = _without(given, _WITH_VALUE, _ALONE)
    planned = ["run" if n == 1 and word == "estimate" else word for n, word in enumerate(kept)]
    # The deadline belongs to the split alone.
    run = _without(planned, ("--deadline",), ())
    return PlanCommands(shlex.join(run), shlex.join([*run, "--batch"]), shlex.join(planned))


def _without(
    words: Sequence[str], with_value: tuple[str, ...], alone: tuple[str, ...]
) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in with_value:
            skip = True
        elif word not in alone and not word.startswith(tuple(f"{w}=" for w in with_value)):
            kept.append(word)
    return kept
