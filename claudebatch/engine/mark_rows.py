"""Before rows are asked for: which of their beginnings are marked for the API's prompt
cache.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import partial
from typing import Any

from claudebatch.core.domain import Call
from claudebatch.layers.prompt_caching import own_marks
from claudebatch.layers.prompt_caching.chains import ChainRows, shared_beginnings
from claudebatch.layers.prompt_caching.mark_plan import MarkPlan, Spacing
from claudebatch.layers.prompt_caching.placed import Place, nothing_placed
from claudebatch.layers.prompt_caching.set_marks import Placing
from claudebatch.routing.forced_answer import formed
from claudebatch.setup.run_setup import RunSetup
from claudebatch.storage.journal import RowFilter
from claudebatch.storage.journal.beginnings import name_groups, row_groups
from claudebatch.storage.journal.rows import group_pending


def place_by(plan: MarkPlan, run_setup: RunSetup, *, in_batch: bool = False) -> Place:
    """What places the marks of a run, as its settings say, once *plan* is filled; of
    what is sent at once, or *in_batch*.
    """
    match run_setup.settings.prompt_caching:
        case "off":
            return nothing_placed
        case "respect":
            return own_marks.place
    first_params = partial(_first_params, run_setup)
    return Placing(plan, own_marks.place, first_params=first_params, in_batch=in_batch)


def plan_marks(
    connection: sqlite3.Connection,
    plan: MarkPlan,
    wanted: RowFilter,
    *,
    spacing: Spacing,
    alike_once: bool,
) -> None:
    """Fill *plan* by the rows that still need an answer, and leave their groups in
    `temp.row_groups`. *alike_once*: equal requests share one answer.
    """
    group_pending(connection, wanted, alike_once=alike_once)
    groups = (ChainRows(*group) for group in row_groups(connection))
    plan.fill(shared_beginnings(groups), spacing)
    name_groups(connection, plan.path)


def _first_params(run_setup: RunSetup, call: Call) -> Mapping[str, Any]:
    return formed(call.prompt.params, run_setup.catalog.facts(call.route.model))
