"""`claudebatch cache`: look into the response cache, or empty it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from claudebatch.cli.cache_change import export_answers, import_answers, prune, verify
from claudebatch.cli.cache_entries import ls, show
from claudebatch.cli.cache_options import OneObject, cache_folder, price_of, settings_of
from claudebatch.cli.cache_why import why
from claudebatch.cli.dates import unix_now
from claudebatch.cli.help_text import HelpCommand, HelpGroup
from claudebatch.config import environment
from claudebatch.config.paths import Paths
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.plurals import counted
from claudebatch.setup.stores import cache_stats, clear_cache
from claudebatch.storage.ledger.spend_report import SpendReader
from claudebatch.ui.error_text import LEDGER_LOCKED
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.sanitise import visible
from claudebatch.ui.tables.cache_tables import cache_json, render_cache
from claudebatch.ui.terminal import Terminal

# The sub-commands of `cache`; the main app mounts it.
app = typer.Typer(
    cls=HelpGroup,
    help="""Look into the response cache, or empty it.

Examples:

    claudebatch cache ls --model haiku

    claudebatch cache why prompts.jsonl:17

    claudebatch cache stats
""",
    no_args_is_help=True,
)
app.command(cls=HelpCommand)(ls)
app.command(cls=HelpCommand)(show)
app.command(cls=HelpCommand)(why)
app.command(cls=HelpCommand)(prune)
app.command(cls=HelpCommand)(verify)
app.command("export", cls=HelpCommand)(export_answers)
app.command("import", cls=HelpCommand)(import_answers)


@app.command(cls=HelpCommand)
def stats(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Settings file (YAML) with the size of the cache.",
            show_default=False,
        ),
    ] = None,
    json: OneObject = False,
) -> None:
    """Show how many answers the cache holds, its size, and what it saved.

    By model, by age and by run.

    Examples:

        claudebatch cache stats

        claudebatch cache stats --json
    """
    settings, waits = settings_of(config), Terminal(sys.stderr, environment())
    found = cache_stats(
        settings.cache,
        cache_folder(),
        ledger=SpendReader(
            Paths.from_environment(environment()).ledger, waits=lambda: waits.say(LEDGER_LOCKED)
        ),
        worth=price_of(settings),
        now=unix_now(),
    )
    if json:
        sys.stdout.write(json_line(cache_json(found)))
        return
    terminal = _stdout()
    terminal.tell(render_cache(found, width=terminal.columns))


@app.command(cls=HelpCommand)
def path() -> None:
    """Print the folder of the response cache.

    Example:

        claudebatch cache path
    """
    _stdout().say(str(cache_folder()))


@app.command(cls=HelpCommand)
def clear(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete every cached answer; asking again costs money again.

    Examples:

        claudebatch cache clear

        claudebatch cache clear --yes
    """
    folder = cache_folder()
    if not yes and not _confirmed(str(folder)):
        raise typer.Exit(0)
    dropped = clear_cache(folder)
    Terminal(sys.stderr, environment()).say(
        f"{counted(dropped, 'cached answer')} deleted from {folder}"
    )


def _confirmed(folder: str) -> bool:
    # In a script nobody answers, and silence must not cost money.
    if not sys.stdin.isatty():
        raise ClaudebatchError(
            "E010",
            f"this deletes every cached answer in {folder}, and there is no terminal to ask on",
            fix="add --yes",
        )
    return typer.confirm(f"Delete every cached answer in {visible(folder)}?", err=True)


def _stdout() -> Terminal:
    return Terminal(sys.stdout, environment(), must_write=True)
