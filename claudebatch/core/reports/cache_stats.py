"""The response cache in figures, and its entries one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claudebatch.core.domain import Pico


@dataclass(frozen=True, slots=True)
class CacheGroup:
    """Some entries of the response cache, in figures."""

    label: str
    entries: int
    bytes_used: int
    hits: int
    """How often one of them answered a row."""
    saved: Pico
    """The price of these answers, had they been asked for again."""


@dataclass(frozen=True, slots=True)
class CacheYield:
    """What the response cache did for one run or one model, by the spend ledger."""

    label: str
    rows: int
    """Rows with an answer."""
    cached: int
    """Of them, answered out of the response cache."""
    saved: Pico
    """The price of these, and of rows that shared another one's request."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The contents of the response cache, in figures."""

    path: str
    entries: int
    bytes_used: int
    bytes_limit: int
    ttl_s: float | None
    by_model: tuple[CacheGroup, ...] = ()
    by_age: tuple[CacheGroup, ...] = ()
    use_by_model: tuple[CacheYield, ...] = ()
    use_by_run: tuple[CacheYield, ...] = ()
    """The newest first."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One answer of the response cache, and what is known of its request."""

    key: str
    model: str
    """As it was asked for; of an entry without its request, as it answered."""
    stored: float
    """When the answer came, in Unix seconds."""
    expires: float | None
    size: int
    """Bytes of the answer and of what is kept of its request."""
    input_tokens: int
    output_tokens: int
    worth: Pico
    """The price of the answer; 0 where it is not known."""
    hits: int
    found: float | None
    """When it answered a row for the last time."""
    words: str
    """The first words of the prompt; of an entry without its request, of the answer
    after an arrow.
    """
    row: str
    file: str
    line: int
    run: str
    betas: tuple[str, ...] = ()
    repeat: int = 0
    place: str = ""
    """Whose answer it is; empty: the API's own."""

    @property
    def saved(self) -> Pico:
        """The price of all hits, had they been asked for."""
        return self.hits * self.worth


@dataclass(frozen=True, slots=True)
class CacheEntries:
    """Some entries of the response cache."""

    entries: tuple[CacheEntry, ...]
    matching: int
    """How many there are of this kind."""


@dataclass(frozen=True, slots=True)
class CachedPair:
    """A request and its answer."""

    entry: CacheEntry
    request: dict[str, Any] | None
    """None: it was not noted."""
    whole: bool
    """Whether nothing of the request was cut."""
    message: dict[str, Any] | None
    """None: the entry is damaged."""
