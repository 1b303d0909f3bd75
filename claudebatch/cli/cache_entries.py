"""`claudebatch cache ls` and `show`: the answers of the response cache, one by one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from claudebatch.cli.bad_value import BadValue
from claudebatch.cli.dates import unix_now
from claudebatch.cli.typer_command import typer_command
from claudebatch.config import environment
from claudebatch.config.load import load
from claudebatch.config.paths import Paths
from claudebatch.config.settings import Settings
from claudebatch.config.size_text import bytes_of, seconds_of
from claudebatch.core.domain import Pico, Usage
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.reports import CachedPair, CacheEntries
from claudebatch.layers.response_cache.entries import CacheReader, EntryFilter, reading
from claudebatch.models.prices import PriceBook, UnknownPrice
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


ModelPart: TypeAlias = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME", help="Of models with this in their name: haiku."),
]
OlderThan: TypeAlias = Annotated[
    str | None, typer.Option(metavar="AGE", help="Answered longer ago than this: 12h, 30d.")
]
NewerThan: TypeAlias = Annotated[
    str | None, typer.Option(metavar="AGE", help="Answered within this time: 12h, 30d.")
]
LargerThan: TypeAlias = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Larger than this: 500KB, 2MB.")
]
SettingsFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Settings file (YAML).", show_default=False
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFlags:
    """One field for each option of `ls`, in the order of `--help`."""

    model: ModelPart = None
    older_than: OlderThan = None
    newer_than: NewerThan = None
    larger_than: LargerThan = None
    text: Annotated[
        str | None, typer.Option(metavar="WORDS", help="With this in the prompt's first words.")
    ] = None
    sort: Annotated[
        SortBy,
        typer.Option(metavar="age|size|tokens|hits|saved", help="The newest, or the most, first."),
    ] = SortBy.age
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show so many.")] = _USUAL
    config: SettingsFile = None
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False


@typer_command(ListFlags)
def ls(flags: ListFlags) -> None:
    """List cached answers: model, age, size, tokens, and what each one saved.

    Examples:

        claudebatch cache ls

        claudebatch cache ls --model haiku --older-than 7d --sort size

        claudebatch cache ls --text toxic
    """
    wanted = entry_filter(
        model=flags.model,
        older_than=flags.older_than,
        newer_than=flags.newer_than,
        larger_than=flags.larger_than,
        text=flags.text,
    )
    # One moment for filters and ages: an entry must not fall between the two.
    now = unix_now()
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
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
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


def entry_filter(
    *,
    model: str | None,
    older_than: str | None,
    newer_than: str | None = None,
    larger_than: str | None,
    text: str | None = None,
) -> EntryFilter:
    """What options say of entries. Raises `BadValue`."""
    return EntryFilter(
        model=model,
        older_than_s=_age("--older-than", older_than),
        newer_than_s=_age("--newer-than", newer_than),
        larger_than=_size(larger_than),
        text=text,
    )


def _age(option: str, text: str | None) -> float | None:
    found = None if text is None else seconds_of(text)
    if text is not None and found is None:
        raise BadValue("E802", f"{option} {text}: not an age; try 12h or 30d")
    return found


def _size(text: str | None) -> int | None:
    found = None if text is None else bytes_of(text)
    if text is not None and found is None:
        raise BadValue("E803", f"--larger-than {text}: not a size; try 500KB or 2MB")
    return found


def price_of(settings: Settings) -> Callable[[str, Usage], Pico]:
    """The price of an answer of a model; 0 where it is not known."""
    prices = PriceBook.load(settings.prices, at=datetime.fromtimestamp(unix_now(), UTC))

    def price(model: str, usage: Usage) -> Pico:
        try:
            return prices.cost(model, usage)
        except UnknownPrice:
            return 0

    return price


def cache_folder() -> Path:
    """The folder of the response cache."""
    return Paths.from_environment(environment()).cache_dir


def settings_of(config: Path | None) -> Settings:
    """The settings of *config*, or of this folder. Raises `ConfigError`."""
    return load(config, {}, env=environment(), folder=Path()).settings


def _stdout() -> Terminal:
    return Terminal(sys.stdout, environment(), must_write=True)
