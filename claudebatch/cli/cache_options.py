"""What the commands of `cache` have in common: options that choose entries, and where
the cache lies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from claudebatch.cli.bad_value import BadValue
from claudebatch.cli.dates import unix_now
from claudebatch.config import environment
from claudebatch.config.load import load
from claudebatch.config.paths import Paths
from claudebatch.config.settings import Settings
from claudebatch.config.size_text import bytes_of, seconds_of
from claudebatch.core.domain import Pico, Usage
from claudebatch.layers.response_cache.entries import EntryFilter
from claudebatch.models.prices import PriceBook, UnknownPrice

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
OneObject: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@dataclass(frozen=True, kw_only=True)
class EntryFlags:
    """The options that choose entries, in the order of `--help`."""

    model: ModelPart = None
    older_than: OlderThan = None
    newer_than: NewerThan = None
    larger_than: LargerThan = None
    text: Annotated[
        str | None, typer.Option(metavar="WORDS", help="With this in the prompt's first words.")
    ] = None

    @property
    def wanted(self) -> EntryFilter:
        """The entries that they choose. Raises `BadValue`."""
        return entry_filter(
            model=self.model,
            older_than=self.older_than,
            newer_than=self.newer_than,
            larger_than=self.larger_than,
            text=self.text,
        )


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
