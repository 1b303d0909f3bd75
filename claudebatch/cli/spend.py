"""`claudebatch spend`: what was spent, by run, model or day."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.stores.spend import SpendReader
from claudebatch.ui.json_events import json_line
from claudebatch.ui.tables import render_spend, spend_json
from claudebatch.ui.terminal import Terminal


class By(StrEnum):
    """What one line of the report stands for."""

    run = "run"
    model = "model"
    day = "day"


def spend(
    by: Annotated[By, typer.Option(help="One line per run, model or day.")] = By.run,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only from this day on (UTC).", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object, dollars as exact strings.")] = False,
) -> None:
    """Show what was spent on this machine, by run, model or day (UTC).

    Examples:

        claudebatch spend

        claudebatch spend --by model --since 2026-11-01

        claudebatch spend --by day --json
    """
    environ = environment()
    reader = SpendReader(Paths.from_environment(environ).ledger)
    lines = reader.by(by.value, since=since.date() if since else None)
    if json:
        sys.stdout.write(json_line(spend_json(lines, by.value)))
        return
    Terminal(sys.stdout, environ, must_write=True).say_all(render_spend(lines, by.value))
