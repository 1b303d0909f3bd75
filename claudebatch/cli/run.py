"""`claudebatch run`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
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


def run(
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the cost, send nothing.")] = False,
    count: CountRows = None,
    simulate: Simulate = False,
    fresh: Fresh = False,
    retry_failed: RetryFailed = False,
    no_cache: NoCache = False,
    ordered: Annotated[bool, typer.Option("--ordered", help="At the end, put results in input order.")] = False,
    on_bad_row: BadRows = None,
    max_outage: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop (exit 5) once the API has not answered for so long.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Events as JSON lines on stdout (stderr with -o -).")] = False,
    quiet: Annotated[
        int, typer.Option("--quiet", "-q", count=True, help="Only errors and one line; -qq: nothing.")
    ] = 0,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, help="Also tell waits, retries, limits and files; -vv: every request."
        ),
    ] = 0,
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Append a JSON line per request to FILE; never the key."),
    ] = None,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Also write prompts and answers to the log.")
    ] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress display.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before an expensive run.")] = False,
) -> None:
    """Send every prompt of INPUT to Claude and write one result line each. The same command again resumes.

    Examples:

        claudebatch run prompts.jsonl

        claudebatch run prompts.jsonl --dry-run

        claudebatch run prompts.jsonl -o answers.jsonl --budget 5 -m claude-haiku-5-5

        echo '{"prompt": "hi"}' | claudebatch run -
    """
    if log_prompts and log is None:
        raise typer.BadParameter("--log-prompts says what is in the log; name one with --log FILE")
    if count is not None and not dry_run:
        raise typer.BadParameter("--count belongs to a dry run: add --dry-run, or use claudebatch estimate")
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
        ordered=ordered,
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
        "max_outage": max_outage,
    }
    show = Show(json=json, quiet=quiet, verbose=verbose, progress=not no_progress, log=log, log_prompts=log_prompts)
    raise typer.Exit(execute(options, flags, config=config, show=show, dry_run=dry_run, yes=yes))
