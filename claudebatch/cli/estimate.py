"""`claudebatch estimate`: what `run --dry-run` prints, under a name of its own."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from claudebatch.cli.options import (
    BadRows,
    Budget,
    Concurrency,
    ConfigFile,
    CountRows,
    Fresh,
    Inputs,
    Limit,
    MaxTokens,
    Model,
    NoCache,
    Output,
    RetryFailed,
    Simulate,
    System,
    Tag,
    Text,
)


def estimate(
    inputs: Inputs,
    output: Output = None,
    config: ConfigFile = None,
    model: Model = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    budget: Budget = None,
    tag: Tag = None,
    concurrency: Concurrency = None,
    limit: Limit = None,
    text: Text = False,
    count: CountRows = None,
    simulate: Simulate = False,
    fresh: Fresh = False,
    retry_failed: RetryFailed = False,
    no_cache: NoCache = False,
    on_bad_row: BadRows = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object, dollars as exact strings.")] = False,
) -> None:
    """Say what a run of INPUT would do, take and cost. Sends nothing, unless --count asks for it.

    Examples:

        claudebatch estimate prompts.jsonl

        claudebatch estimate prompts.jsonl --count 100 --json
    """
    # The machinery of a run: `--help` need not wait for it.
    from claudebatch.cli.display import Show  # noqa: PLC0415
    from claudebatch.cli.running import execute  # noqa: PLC0415
    from claudebatch.planning.options import RunOptions  # noqa: PLC0415

    options = RunOptions(
        inputs=tuple(inputs),
        output=output,
        model=model,
        limit=limit,
        text=text,
        simulate=simulate,
        fresh=fresh,
        retry_failed=retry_failed,
        no_cache=no_cache,
        count_rows=count,
        command=("claudebatch", *sys.argv[1:]),
    )
    flags = {
        "system": system,
        "max_tokens": max_tokens,
        "budget": budget,
        "tag": tag,
        "concurrency": concurrency,
        "on_bad_row": on_bad_row.value if on_bad_row else None,
    }
    raise typer.Exit(execute(options, flags, config=config, show=Show(json=json), dry_run=True, yes=True))
