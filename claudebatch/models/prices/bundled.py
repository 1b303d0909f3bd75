"""The prices that come with the program: those of `genai-prices`, and a table of our
own for what it lacks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claudebatch.core.domain import TOKEN_KINDS, from_usd
from claudebatch.models.prices.overrides import parse_overrides
from claudebatch.models.prices.rates import PER_SEARCH, ModelRates, Rates, rates_of

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

_GENAI = {kind.price: kind.genai for kind in TOKEN_KINDS if kind.genai}
_SUFFIX = re.compile(r"([-@]\d{8}|-latest)$")


@dataclass(frozen=True, slots=True)
class OwnTable:
    """Our own table, and the last check of all prices against the published ones."""

    checked: str
    """The day, as YYYY-MM-DD."""
    checked_with: str
    """The version of genai-prices that was in use."""
    models: Mapping[str, ModelRates]


@cache
def own_table() -> OwnTable:
    """`data/prices.json`."""
    text = Path(__file__).parents[1].joinpath("data", "prices.json").read_text(encoding="utf-8")
    # As a float 0.1 would already be a little more than ten cents.
    raw = json.loads(text, parse_float=Decimal)
    return OwnTable(
        raw["checked"], raw["checked_with_genai_prices"], parse_overrides(raw["models"])
    )


def undated(model: str) -> str:
    """*model* without the date of its snapshot."""
    return _SUFFIX.sub("", model)


def genai_version() -> str:
    """The version of the installed genai-prices."""
    import genai_prices  # noqa: PLC0415 - see _genai

    return genai_prices.__version__


def genai_models() -> Iterator[str]:
    """The ids of all of Anthropic's models that genai-prices lists."""
    return (info.id for info in _genai())


def genai_rates(model: str, at: datetime) -> ModelRates | None:
    """The rates of *model* at the moment *at*; None if genai-prices has none, or a form
    that we cannot compute.

    It matches many names by their beginning; a name that is not the model's own, dated
    or not, would be a guess.
    """
    info = next(
        (info for info in _genai() if info.is_match(model) and undated(info.id) == undated(model)),
        None,
    )
    return None if info is None else _read(info, at)


def _genai() -> list[ModelInfo]:
    # Heavy (0.2 s, pydantic and an HTTP client): only commands that price something pay
    # for it.
    from genai_prices.data_snapshot import find_provider_by_id, get_snapshot  # noqa: PLC0415

    provider = find_provider_by_id(get_snapshot().providers, "anthropic")
    return provider.models if provider is not None else []


def _read(info: ModelInfo, at: datetime) -> ModelRates | None:
    standard, fast = info.get_prices(at), info.get_prices(at, {"speed": "fast"})
    base, threshold = _rates(standard, above=False), _threshold(standard)
    # A price that is not understood whole is none: a cap must not rest on half of it.
    if base is None or threshold is None:
        return None
    search = getattr(standard, "web_searches_kcount", None)
    return ModelRates(
        base=base,
        search=PER_SEARCH if search is None else from_usd(Decimal(search) / 1000),
        threshold=threshold or None,
        above=_rates(standard, above=True) if threshold else None,
        fast=_rates(fast, above=False) if vars(fast) != vars(standard) else None,
    )


def _threshold(prices: Any) -> int | None:
    """The input at which higher rates begin; 0 without any, None for several such
    steps.
    """
    tiered = [value for value in vars(prices).values() if getattr(value, "tiers", None)]
    starts = {tier.start for value in tiered for tier in value.tiers}
    if len(starts) > 1:
        return None
    return next(iter(starts), 0)


def _rates(prices: Any, *, above: bool) -> Rates | None:
    dollars = {
        name: _dollars(getattr(prices, key, None), above=above) for name, key in _GENAI.items()
    }
    known = {name: amount for name, amount in dollars.items() if amount is not None}
    return rates_of(known) if "input" in known and "output" in known else None


def _dollars(value: Any, *, above: bool) -> Decimal | None:
    if hasattr(value, "tiers"):
        value = value.tiers[0].price if above and value.tiers else value.base
    return None if value is None else Decimal(value)
