"""`claudebatch cache ls` and `show`: the answers of the response cache, one by one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from claudebatch.cli.cache_options import (
    EntryFlags,
    OneObject,
    SettingsFile,
    cache_folder,
    price_of,
    settings_of,
)
from claudebatch.cli.dates import unix_now
from claudebatch.cli.typer_command import typer_command
from claudebatch.config import environment
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.reports import CachedPair, CacheEntries
from claudebatch.layers.response_cache.entries import CacheReader, reading
from claudebatch.ui.machine.json_events import json_line
from claudebatch.ui.tables.cache_entry_tables import (
    entries_json,
    pairs_json,
    render_entries,
    render_pair,
)
from claudebatch.ui.terminal import Terminal

_MOST_SHOWN = 5
_USUAL = 20


class SortBy(StrEnum):
    """The order of a list; the first has the most of it."""

    age = "age"
    size = "size"
    tokens = "tokens"
    hits = "hits"
    saved = "saved"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFlags(EntryFlags):
    """One field for each option of `ls`, in the order of `--help`."""

    sort: Annotated[
        SortBy,
        typer.Option(metavar="age|size|tokens|hits|saved", help="The newest, or the most, first."),
    ] = SortBy.age
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show so many.")] = _USUAL
    config: SettingsFile = None
    json: OneObject = False


@typer_command(ListFlags)
def ls(flags: ListFlags) -> None:
    """List cached answers: model, age, size, tokens, and what each one saved.

    Examples:

        claudebatch cache ls

        claudebatch cache ls --model haiku --older-than 7d --sort size

        claudebatch cache ls --text toxic
    """
    # One moment for filters and ages: an entry must not fall between the two.
    wanted, now = flags.wanted, unix_now()
    with reading(cache_folder(), worth=price_of(settings_of(flags.config))) as cache:
        found = (
            cache.listed(wanted, sort=flags.sort.value, limit=flags.limit, now=now)
            if cache is not None
            else CacheEntries((), 0)
        )
    if flags.json:
        sys.stdout.write(json_line(entries_json(found)))
        return
    terminal = _stdout()
    terminal.say_all(render_entries(found, now=now, width=terminal.columns))


def show(
    which: Annotated[
        str, typer.Argument(metavar="KEY|ID", help="A key or its beginning, or the id of a row.")
    ],
    config: SettingsFile = None,
    json: OneObject = False,
) -> None:
    """Show one cached answer with the request that it answers.

    Several where rows of the same id asked for different things.

    Examples:

        claudebatch cache show 3f9c1a2b7d40

        claudebatch cache show review-17 --json
    """
    now = unix_now()
    with reading(cache_folder(), worth=price_of(settings_of(config))) as cache:
        pairs = _pairs(cache, which) if cache is not None else []
    if not pairs:
        raise ClaudebatchError(
            "E801",
            f'no cached answer has the key "{which}", and no row of that id asked for one',
            fix="see `claudebatch cache ls`; `claudebatch cache why` says why a row is not there",
        )
    if json:
        sys.stdout.write(json_line(pairs_json(pairs)))
        return
    # In full each takes a screen.
    for number, pair in enumerate(pairs[:_MOST_SHOWN]):
        _stdout().say_all([*([""] if number else []), *render_pair(pair, now=now)])
    if len(pairs) > _MOST_SHOWN:
        _stdout().say("", f"… and {len(pairs) - _MOST_SHOWN} more: --json shows all")


def _pairs(cache: CacheReader, which: str) -> list[CachedPair]:
    found = (cache.pair(number) for number in cache.numbers(which))
    return [pair for pair in found if pair is not None]


def _stdout() -> Terminal:
    return Terminal(sys.stdout, environment(), must_write=True)
