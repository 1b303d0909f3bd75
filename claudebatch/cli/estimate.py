"""`claudebatch estimate`: what `run --dry-run` prints, under a name of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from claudebatch.cli import options
from claudebatch.cli.wiring.run_arguments import config_flags, run_options


def estimate(
    inputs: options.Inputs,
    output: options.Output = None,
    config: options.ConfigFile = None,
    model: options.Model = None,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    budget: options.Budget = None,
    tag: options.Tag = None,
    concurrency: options.Concurrency = None,
    limit: options.Limit = None,
    text: options.Text = False,
    count_rows: options.CountRows = None,
    simulate: options.Simulate = False,
    fresh: options.Fresh = False,
    retry_failed: options.RetryFailed = False,
    no_cache: options.NoCache = False,
    on_bad_row: options.BadRows = None,
    fail_on_empty: options.FailOnEmpty = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object, dollars as exact strings.")
    ] = False,
) -> None:
    """Say what a run of INPUT would do, take and cost. Sends nothing, unless --count
    asks for it.

    Examples:

        claudebatch estimate prompts.jsonl

        claudebatch estimate prompts.jsonl --count 100 --json
    """
    given = locals()
    # The machinery of a run: `--help` need not wait for it.
    from claudebatch.cli.wiring.display import Show  # noqa: PLC0415
    from claudebatch.cli.wiring.launch import execute  # noqa: PLC0415

    asked, flags = run_options(given), config_flags(given)
    raise typer.Exit(
        execute(asked, flags, config=config, show=Show(json=json), dry_run=True, yes=True)
    )
