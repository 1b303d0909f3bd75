"""`claudebatch run`: the main job."""

from __future__ import annotations

import sys
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class OnBadRow(StrEnum):
    """What a line that cannot be sent does to the run."""

    stop = "stop"
    skip = "skip"


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount <= 0:
        raise typer.BadParameter(f"{text!r} is not an amount of dollars above 0; try --budget 5 or --budget 2.50")
    return amount


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 20 and int(text) > 0):
        raise typer.BadParameter(f"{text!r} is not a whole number above 0; try 100")
    return int(text)


def run(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="JSONL files of prompts, or - for stdin.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="OUT", help="Results file; - for stdout.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML configuration.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model for rows that name none; wins over the rules.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="System prompt of rows without one.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(parser=_whole, metavar="N", help="max_tokens of rows without one.")
    ] = None,
    budget: Annotated[
        Decimal | None, typer.Option(parser=_dollars, metavar="USD", help="Cap of the whole run, never passed.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", "-j", parser=_whole, metavar="N", help="Requests in flight per pool of models."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", parser=_whole, metavar="N", help="Only the first N rows.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Every input line is a prompt itself, not JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the cost, send nothing.")] = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Rehearse on the built-in API: no key, no network, no cost.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over; old results are kept as .previous.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also try rows again that failed.")] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither use nor fill the response cache; equal rows are all sent.")
    ] = False,
    ordered: Annotated[bool, typer.Option("--ordered", help="At the end, put results in input order.")] = False,
    on_bad_row: Annotated[
        OnBadRow | None, typer.Option(help="A line that cannot be sent: stop before sending, or skip it.")
    ] = None,
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
        command=("claudebatch", *sys.argv[1:]),
    )
    flags = {
        "system": system,
        "max_tokens": max_tokens,
        "budget": budget,
        "concurrency": concurrency,
        "on_bad_row": on_bad_row.value if on_bad_row else None,
        "max_outage": max_outage,
    }
    show = Show(json=json, quiet=quiet, verbose=verbose, progress=not no_progress, log=log, log_prompts=log_prompts)
    raise typer.Exit(execute(options, flags, config=config, show=show, dry_run=dry_run, yes=yes))
