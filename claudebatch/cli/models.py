"""`claudebatch models`: what each model costs, how fast it may be asked, what it
accepts.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from claudebatch.cli import options
from claudebatch.config import environment
from claudebatch.config.load import load
from claudebatch.estimate.known_models import known_models
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.model_tables import models_json, render_models
from claudebatch.ui.terminal import Terminal


def models(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Only this model, or those with this in their name.", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="The configuration with prices, limits and facts.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object, dollars as exact strings.")
    ] = False,
    verbose: options.AllColumns = False,
) -> None:
    """Show models, their prices, limits and what they accept.

    Sends nothing: the facts come with the program; your configuration can change them.

    Examples:

        claudebatch models

        claudebatch models claude-haiku-5-5

        claudebatch models opus --json
    """
    environ = environment()
    settings = load(config, {}, env=environ, folder=Path()).settings
    at = datetime.now(UTC)  # noqa: TID251  # a command is where time comes in
    report = known_models(settings, model, at=at)
    # Data goes to standard output as it is; the table is for a screen.
    if json:
        sys.stdout.write(json_line(models_json(report)))
        return
    terminal = Terminal(sys.stdout, environ, must_write=True)
    if verbose:
        terminal.say_all(render_models(report))
    else:
        terminal.tell(render_models(report, width=terminal.columns))
