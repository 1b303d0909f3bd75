"""`--unknown ask`: the question about rows that an earlier session may have been billed
for without an answer.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import typer

from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.plurals import counted
from claudebatch.engine.open_run import OpenRun
from claudebatch.setup.run_options import RunOptions
from claudebatch.storage.journal.queries import undecided
from claudebatch.ui.format import money


def decided(options: RunOptions, run: OpenRun) -> RunOptions:
    """*options*, and what is to be done about those rows: asked, where `--unknown ask`
    says so and there are any.
    """
    if options.unknown != "ask":
        return options
    rows, worst = undecided(run.folder.journal)
    # A question about nothing would only stop the run.
    if not rows:
        return options
    what = f"{counted(rows, 'row')} may have been billed without an answer, {money(worst)} at most"
    # Either answer costs the user money: a script must say which.
    if not sys.stdin.isatty():
        raise ClaudebatchError(
            "E022",
            f"{what}, and there is no terminal to ask on",
            fix="add --unknown retry or --unknown skip",
        )
    again = typer.confirm(f"{what}. Ask again, and maybe pay twice?", err=True)
    return replace(options, unknown="retry" if again else "skip")
