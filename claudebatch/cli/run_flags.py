"""What `run` can be given on the command line, and of it `estimate`: declared once.

A new option is one field here, and a line in `wiring/run_arguments.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from claudebatch.cli import options

# An estimate sends nothing and says one thing: how a run ends, asks and talks is no
# matter of it.
RUN_ONLY = frozenset(
    {
        "output_format",
        "columns",
        "attach",
        "processes",
        "engine",
        "collect",
        "retry_batches",
        "detach",
        "no_escape",
        "dry_run",
        "ordered",
        "max_failures",
        "strict_endings",
        "exit_zero",
        "max_outage",
        "stop_after",
        "unknown",
        "quiet",
        "log",
        "log_prompts",
        "no_progress",
        "yes",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """One field for each option, in the order of `--help`."""

    inputs: options.Inputs
    output: options.Output = None
    output_format: options.OutputFormat = None
    columns: options.Columns = None
    no_escape: options.NoEscape = False
    config: options.ConfigFile = None
    model: options.Model = None
    allow_unknown_model: options.AllowUnknownModel = False
    model_map: options.ModelMap = None
    drop: options.Drop = None
    system: options.System = None
    max_tokens: options.MaxTokens = None
    budget: options.Budget = None
    tag: options.Tag = None
    concurrency: options.Concurrency = None
    processes: options.Processes = None
    engine: options.Engine = "local"
    limit: options.Limit = None
    sample: options.Sample = None
    seed: options.Seed = None
    rows: options.RowNumbers = None
    id: options.RowIds = None
    where: options.Where = None
    text: options.Text = False
    input_format: options.InputFormat = None
    sheet: options.Sheet = None
    each_file: options.EachFile = False
    shape: options.Shape = None
    template: options.TemplateText = None
    var: options.Constants = None
    examples: options.Examples = None
    image: options.ImageColumns = None
    document: options.DocumentColumns = None
    files_root: options.FilesRoot = None
    repeat: options.Repeat = None
    schema: options.Schema = None
    schema_retries: options.SchemaRetries = None
    extract: options.Extract = None
    prompt_caching: options.PromptCacheMarks = None
    via: options.SendVia = None
    batch: options.AsBatch = False
    deadline: options.Deadline = None
    collect: Annotated[
        bool,
        typer.Option("--collect", help="Send nothing new: collect what is with the API."),
    ] = False
    retry_batches: Annotated[
        bool,
        typer.Option(
            "--retry-batches",
            help="Give up batches hidden from this key; ask their rows again: may be paid twice.",
        ),
    ] = False
    attach: Annotated[
        str | None,
        typer.Option(
            "--attach", metavar="ID", help="Take the answers of a batch that was made elsewhere."
        ),
    ] = None
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", help="With --batch: send, and leave; the same command collects later."
        ),
    ] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and print the cost; send nothing.")
    ] = False
    count_rows: options.CountRows = None
    simulate: options.Simulate = False
    fresh: options.Fresh = False
    retry_failed: options.RetryFailed = False
    retry_cut: options.RetryCut = False
    redo: options.RedoRows = None
    no_cache: options.NoCache = False
    refresh_cache: options.RefreshCache = False
    ordered: Annotated[
        bool, typer.Option("--ordered", help="Put the results in input order at the end.")
    ] = False
    on_bad_row: options.BadRows = None
    extra: options.ExtraFields = "keep"
    no_check: options.NoCheck = False
    fail_on_empty: options.FailOnEmpty = False
    max_failures: options.MaxFailures = None
    strict_endings: Annotated[
        bool,
        typer.Option(
            "--strict-endings", help="Count refused, cut off and empty answers as failures."
        ),
    ] = False
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 even if rows failed.")] = (
        False
    )
    max_outage: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Stop (exit 5) when the API has not answered for this long: 5m."
        ),
    ] = None
    stop_after: options.StopAfter = None
    unknown: Annotated[
        options.Unknown,
        typer.Option(
            help="Rows that were sent but got no answer (may be billed): send again, skip, or ask."
        ),
    ] = options.Unknown.retry
    json: Annotated[
        bool, typer.Option("--json", help="Events as JSON lines on stdout (on stderr with -o -).")
    ] = False
    quiet: Annotated[
        int,
        typer.Option(
            "--quiet",
            "-q",
            count=True,
            help="Only errors and one line; -qq: nothing.",
            show_default=False,
        ),
    ] = 0
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Also tell waits, retries, limits and files; -vv: every request.",
            show_default=False,
        ),
    ] = 0
    log: Annotated[
        Path | None,
        typer.Option(
            "--log", metavar="FILE", help="Append one JSON line per request to FILE; never the key."
        ),
    ] = None
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Also write prompts and answers to the log.")
    ] = False
    no_progress: Annotated[bool, typer.Option("--no-progress", help="No progress display.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False
