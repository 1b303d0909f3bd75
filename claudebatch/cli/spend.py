"""`claudebatch spend`: what was spent, by run, model, day, tag or rule."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from claudebatch.cli import options
from claudebatch.cli.dates import first_day, today
from claudebatch.cli.typer_command import typer_command
from claudebatch.config import environment
from claudebatch.config.load import load
from claudebatch.config.paths import Paths
from claudebatch.core.domain import Pico, PromptSavings, Usage
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.reports import SpendLine
from claudebatch.models.prices import PriceBook
from claudebatch.storage.ledger.spend_report import PromptSaver, SpendReader
from claudebatch.ui.error_text import LEDGER_LOCKED
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.sanitise import visible
from claudebatch.ui.tables.spend_data import spend_csv, spend_json
from claudebatch.ui.tables.spend_tables import render_spend, spend_markdown
from claudebatch.ui.terminal import Terminal


class By(StrEnum):
    """What one line of the report stands for."""

    run = "run"
    model = "model"
    day = "day"
    tag = "tag"
    rule = "rule"
    # The word of before, which still works.
    route = "route"


class Format(StrEnum):
    """How the report is written."""

    table = "table"
    json = "json"
    csv = "csv"
    md = "md"


@dataclass(frozen=True, slots=True, kw_only=True)
class _SpendFlags:
    """One field for each option, in the order of `--help`."""

    by: Annotated[
        By,
        typer.Option(
            metavar="run|model|day|tag|rule",
            help="One line per run, model, day, tag or rule.",
        ),
    ] = By.run
    since: Annotated[
        date | None,
        typer.Option(
            parser=first_day,
            metavar="DAY",
            help="Only from this day on (UTC): 2026-11-01, or 7d for the last seven days.",
            show_default=False,
        ),
    ] = None
    format: Annotated[
        Format | None, typer.Option(help="A table, JSON, CSV or Markdown.", show_default="table")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Of rehearsals, which have a ledger of their own.")
    ] = False
    raw_csv: Annotated[
        bool,
        typer.Option(
            "--raw-csv", help="CSV without the ' in front of texts that look like formulas."
        ),
    ] = False
    config: options.ConfigFile = None
    verbose: options.AllColumns = False


@typer_command(_SpendFlags)
def spend(flags: _SpendFlags) -> None:
    """Show what was spent on this machine.

    Also what caches and routing saved, and what may be billed besides.

    Examples:

        claudebatch spend

        claudebatch spend --by model --since 7d

        claudebatch spend --by day --since 2026-11-01 --format csv
    """
    wanted = _format(flags)
    environ = environment()
    paths = Paths.from_environment(environ, simulated=flags.simulate)
    waits = Terminal(sys.stderr, environ)
    reader = SpendReader(
        paths.ledger, waits=lambda: waits.say(LEDGER_LOCKED), saves=_prompt_saver(flags, environ)
    )
    lines = reader.by(flags.by.value, since=flags.since)
    if wanted is Format.json:
        report = spend_json(lines, flags.by.value, simulated=flags.simulate)
        sys.stdout.write(json_line(report))
        return
    terminal = Terminal(sys.stdout, environ, must_write=True)
    if wanted is Format.csv:
        _write_csv(spend_csv(lines, raw=flags.raw_csv), terminal)
        return
    # Data for a document, and a table that may be wider than the screen, stay as they
    # are.
    say = terminal.say_all if wanted is Format.md or flags.verbose else terminal.tell
    say(_text(lines, flags, terminal, markdown=wanted is Format.md))
    terminal.say_all(_of_rehearsals(environ, flags.simulate, lines))


def _prompt_saver(flags: _SpendFlags, environ: Mapping[str, str]) -> PromptSaver:
    @cache
    def prices() -> PriceBook:
        at = datetime.combine(today(), time(), UTC)
        return PriceBook.load(_own_prices(flags.config, environ), at=at)

    def savings(model: str, usage: Usage, cost: Pico) -> PromptSavings:
        # Prices take a while to load, and most lines have nothing of the kind.
        if not (usage.cache_read_input_tokens or usage.cache_creation_input_tokens):
            return PromptSavings()
        return prices().prompt_savings(model, usage, cost)

    return savings


def _own_prices(config: Path | None, environ: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        return load(config, {}, env=environ, folder=Path()).settings.prices
    except ClaudebatchError:
        # What was spent is told wherever one stands, whatever the file there says.
        if config is None:
            return {}
        raise


def _write_csv(text: str, terminal: Terminal) -> None:
    # A file gets every character as it is; a screen must not obey them.
    sys.stdout.write(
        visible(text.replace("\r\n", "\n"), keep_newlines=True) if terminal.is_terminal else text
    )


def _text(
    lines: Sequence[SpendLine], flags: _SpendFlags, terminal: Terminal, *, markdown: bool
) -> Iterable[str]:
    by, since = flags.by.value, flags.since
    if markdown:
        return spend_markdown(lines, by, since=since)
    width = 0 if flags.verbose else terminal.columns
    return render_spend(lines, by, since=since, width=width, plain=terminal.stream.plain)


def _of_rehearsals(
    environ: Mapping[str, str], simulate: bool, lines: Sequence[SpendLine]
) -> list[str]:
    """What else there is to say of them: that their sums are play money, or where they
    are to be found.
    """
    # Sums of rehearsals look like money; a table of none needs no warning.
    if simulate:
        return ["SIMULATED: nothing of this was paid."] if lines else []
    if lines or not Paths.from_environment(environ, simulated=True).ledger.exists():
        return []
    return ["Rehearsals are counted apart: claudebatch spend --simulate"]


def _format(flags: _SpendFlags) -> Format:
    # A set, because --json and --format json are one wish.
    asked = {
        *((flags.format,) if flags.format else ()),
        *((Format.json,) if flags.json else ()),
        *((Format.csv,) if flags.raw_csv else ()),
    }
    # The same wish twice is no contradiction.
    if len(asked) > 1:
        raise ClaudebatchError(
            "E021",
            f"the report cannot be {' and '.join(sorted(asked))} at once",
            fix="give one of --format, --json, --raw-csv",
        )
    return asked.pop() if asked else Format.table
