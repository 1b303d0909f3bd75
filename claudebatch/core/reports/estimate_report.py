"""An estimate: rows, tokens, cost and time of a run before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from claudebatch.core.domain import Pico
from claudebatch.core.notice import LineLeftOut, Notice
from claudebatch.core.reports.deadline_plan import DeadlinePlan
from claudebatch.core.reports.ways_to_send import BatchTimes, Way


@dataclass(frozen=True, slots=True)
class Basis:
    """The source of a number of tokens."""

    method: Literal["counted", "history", "configured", "rule"]
    """By the API's own count of a sample, by answers of earlier runs, by the
    configuration, by a rule of thumb.
    """
    sample: int = 0
    """Rows or answers that it rests on."""
    factor: float | None = None
    """Of input: tokens for each one that the built-in rule expects."""
    error: float | None = None
    """The standard error of the sum, as a share of it, as far as chance in the sample
    makes it.
    """
    low: int | None = None
    """Of output: one answer in ten was shorter than this."""
    high: int | None = None
    """Of output: one answer in ten was longer than this."""


_RULE = Basis("rule")


@dataclass(frozen=True, slots=True)
class EstimateLine:
    """One route of a dry run: the rows that one rule sends to one model."""

    model: str
    rule: str
    rows: int
    cached: int
    input_tokens: int
    output_tokens: int
    low: Pico
    expected: Pico
    worst: Pico
    price_known: bool = True
    output_low: int = 0
    """Output tokens, if answers are short."""
    output_worst: int = 0
    """Output tokens, if every answer uses all of its `max_tokens`."""
    request_bytes: int = 0
    """The requests as they are sent."""
    inputs: Basis = _RULE
    outputs: Basis = _RULE


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The cost of the same rows if one model answered all of them, including those that
    are cached from another.
    """

    model: str
    expected: Pico
    batch: Pico
    """The same on the Batches API."""
    newest: bool = True
    """Whether it is the newest model of its line."""


@dataclass(frozen=True, slots=True)
class PromptCacheUse:
    """What rows share, and the API's prompt cache makes of it."""

    beginnings: int
    """Those that are written, and read by the rows that share them."""
    rows: int
    """Rows sent at once, as the numbers are up to `unread`."""
    written_tokens: int
    read_tokens: int
    expected: Pico
    """The expected dollars of these rows."""
    without: Pico
    """The same without marks."""
    unread: Pico
    """The same if everything were written twice and nothing read: then marks end."""
    batch_rows: int = 0
    """Rows in batches of which something is marked."""
    batch_most: Pico = 0
    """Their expected dollars with the most hits of the documented range."""
    batch_fewest: Pico = 0
    """The same with the fewest."""
    batch_without: Pico = 0
    """The same without marks."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Rows, tokens, cost and time of a run, without sending anything."""

    rows: int
    finished: int
    """Rows whose results an earlier session already holds."""
    duplicates: int
    """Rows whose request equals an earlier row's: sent once."""
    lines: tuple[EstimateLine, ...]
    cap: Pico | None
    output: str
    seconds: float = 0.0
    """Its duration at the limits in force."""
    bound_by: str | None = None
    """The limit that it would wait for most; None: for answers only."""
    bound_pool: str | None = None
    batch: Pico = 0
    """The expected dollars of the same routes on the Batches API."""
    elsewhere: tuple[Elsewhere, ...] = ()
    """The cheapest first."""
    asked_otherwise: int = 0
    """Finished rows that were answered with other settings."""
    notices: tuple[Notice, ...] = ()
    """What was changed in the lines before they were read."""
    ways: tuple[Way, ...] = ()
    """At once, by batch and, where they say something else, by the rules."""
    batch_times: BatchTimes | None = None
    """None: this machine has seen no batch end."""
    plan: DeadlinePlan | None = None
    """For the deadline, where one was given."""
    bad_rows: int = 0
    """Lines that cannot be sent and are left out."""
    left_out: tuple[LineLeftOut, ...] = ()
    """The first of those."""
    prompt_cache: PromptCacheUse | None = None
    """None: no rows share what can be kept."""

    @property
    def batch_rows(self) -> int:
        """Rows that would go by batch."""
        return next((way.batch_rows for way in self.ways if way.chosen), 0)

    @property
    def low(self) -> Pico:
        """If answers are short."""
        return sum(line.low for line in self.lines)

    @property
    def expected(self) -> Pico:
        """If answers are of usual length."""
        return sum(line.expected for line in self.lines)

    @property
    def worst(self) -> Pico:
        """If every answer uses all of its `max_tokens` and no estimate of input is too
        high.
        """
        return sum(line.worst for line in self.lines)
