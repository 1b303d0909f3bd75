"""`claudebatch estimate`: what `run --dry-run` prints, under a name of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from claudebatch.cli.run_flags import RUN_ONLY, RunFlags
from claudebatch.cli.typer_command import typer_command
from claudebatch.cli.wiring.run_arguments import config_flags, run_options

_JSON = Annotated[bool, typer.Option("--json", help="One JSON object, dollars as exact strings.")]


_VERBOSE = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Every column, and what the numbers rest on.",
        show_default=False,
    ),
]


@typer_command(RunFlags, without=RUN_ONLY, instead={"json": _JSON, "verbose": _VERBOSE})
def estimate(flags: RunFlags) -> None:
    """Say what a run would cost, and how long it would take.

    Sends nothing; --count lets the API count some rows, which is free.

    Examples:

        claudebatch estimate prompts.jsonl

        claudebatch estimate prompts.jsonl --count 100 --json
    """
    # The machinery of a run: `--help` need not wait for it.
    from claudebatch.cli.wiring.display import Show  # noqa: PLC0415
    from claudebatch.cli.wiring.launch import execute  # noqa: PLC0415

    code = execute(
        run_options(flags),
        config_flags(flags),
        config=flags.config,
        show=Show(json=flags.json, verbose=flags.verbose),
        dry_run=True,
        yes=True,
    )
    raise typer.Exit(code)
