"""Facts about the models: prices, limits, and accepted parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from claudebatch.core.domain import Pico

TokenPrices: TypeAlias = Mapping[str, Pico]
"""Pico-dollars for a million tokens, by kind of token: `BilledKind.price`."""


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """The prices of one model, and their source."""

    source: str
    """genai-prices, claudebatch (our own table) or configuration."""
    standard: TokenPrices
    threshold: int | None
    above: TokenPrices | None
    """The whole request's prices where its prompt is longer than *threshold* tokens."""
    fast: TokenPrices | None
    search: Pico
    """One web search."""


@dataclass(frozen=True, slots=True)
class TierLimitsLine:
    """The limits of one pool per minute; None: no limit."""

    requests: float | None
    input_tokens: float | None
    output_tokens: float | None


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model."""

    id: str
    aliases: tuple[str, ...]
    is_default: bool
    """Whether the configuration's `model` is this one."""
    known: bool
    """Whether there are facts about it; else those shown are guesses that refuse
    nothing.
    """
    changed: tuple[str, ...]
    """Facts that the configuration sets."""
    prices: ModelPrices | None
    """None: unknown."""
    pool: str
    shares_with: tuple[str, ...]
    """The other models of its pool."""
    limits: TierLimitsLine
    """Those that a run under this configuration starts with."""
    tiers: Mapping[str, TierLimitsLine]
    """The published ones, by tier."""
    context_window: int
    max_output: int
    thinking: tuple[str, ...]
    thinking_default: str
    efforts: tuple[str, ...]
    default_effort: str | None
    effort_cap_without_thinking: str | None
    min_cacheable_prefix: int
    prefill: bool
    forced_tools: bool
    inference_geo: bool
    retires_at: str | None
    days_left: int | None
    """Days until it retires; 0 or fewer when it is retired. None: nothing is announced.
    """
    retires_for_sure: bool = True
    """False: sources differ about the day."""


@dataclass(frozen=True, slots=True)
class ModelsReport:
    """All models, or the named ones, and the age of the prices."""

    models: tuple[ModelLine, ...]
    price_source: str
    """Name and version of the data that most prices come from."""
    price_version: str
    """As the ledger notes it beside each attempt."""
    checked: str
    """The day on which this release's prices were held against the published ones, as
    YYYY-MM-DD.
    """
    checked_with: str
    """The version of the data that they were then."""
    tier: str
    on: date
