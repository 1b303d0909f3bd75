"""`claudebatch render`: the requests as they would be sent."""

from __future__ import annotations

from typing import Annotated

import typer

from claudebatch.cli.run_flags import RUN_ONLY, RunFlags
from claudebatch.cli.typer_command import typer_command
from claudebatch.cli.wiring.run_arguments import config_flags, run_options

_JSON = Annotated[bool, typer.Option("--json", help="One request a line.")]
# What changes no request.
_WITHOUT = RUN_ONLY | {
    *("output", "budget", "tag", "concurrency", "count_rows", "simulate", "fresh"),
    *("retry_failed", "retry_cut", "redo", "no_cache", "fail_on_empty", "verbose"),
    "refresh_cache",
    *("schema_retries", "extract"),
}


@typer_command(RunFlags, without=_WITHOUT, instead={"json": _JSON})
def render(flags: RunFlags) -> None:
    """Show the first requests as they would be sent; send nothing.

    Examples:

        claudebatch render reviews.csv -t 'Classify: {review}' -n 3

        claudebatch render reviews.csv -t @ask.j2 --sample 5 --json
    """
    # The machinery of a run: `--help` need not wait for it.
    from claudebatch.cli.wiring.render_requests import render_requests  # noqa: PLC0415

    code = render_requests(
        run_options(flags), config_flags(flags), config=flags.config, as_lines=flags.json
    )
    raise typer.Exit(code)
