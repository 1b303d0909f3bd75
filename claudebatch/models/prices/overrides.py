"""Prices in a configuration: dollars per million tokens, by model.

claude-opus-6: {input: 4, output: 20, cache_read: 0.40, fast: {input: 8, output: 40}}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from claudebatch.core.domain import TOKEN_KINDS, Pico, from_usd
from claudebatch.core.errors import ConfigError
from claudebatch.core.values_shown import got
from claudebatch.models.catalog import did_you_mean
from claudebatch.models.prices.rates import PER_SEARCH, ModelRates, Rates, rates_of

_REQUIRED = tuple(kind.price for kind in TOKEN_KINDS if kind.times_input is None)
_TOKENS = (*_REQUIRED, *(kind.price for kind in TOKEN_KINDS if kind.times_input is not None))
_ALL = (*_TOKENS, "search", "fast", "above")
MOST_PER_MTOK = 1_000
MOST_PER_SEARCH = 1
"""Far above any real price, and low enough that the cost of every answer fits 64 bits:
the files hold pico-dollars in SQLite's integers, which end at 9.2 million dollars.
"""
_FIX = "give dollars per million tokens, such as 2.50"


def parse_overrides(
    raw: Mapping[str, Any], where: Callable[[str], str] = lambda key: ""
) -> dict[str, ModelRates]:
    """The rates in *raw*, by model. *where* gives the `file:line` of a dotted key.
    Raises `ConfigError`.
    """
    return {model: _Reader(where).model(f"prices.{model}", fields) for model, fields in raw.items()}


class _Reader:
    """Reads one model's mapping, and says where a mistake stands."""

    def __init__(self, where: Callable[[str], str]) -> None:
        self._where = where

    def model(self, key: str, raw: Any) -> ModelRates:
        """The rates that *raw*, the value of *key*, describes."""
        fields = self._mapping(key, raw, _ALL)
        above = self._mapping(f"{key}.above", fields.get("above", {}), (*_TOKENS, "threshold"))
        return ModelRates(
            base=self._rates(key, fields),
            search=self._search(f"{key}.search", fields["search"])
            if "search" in fields
            else PER_SEARCH,
            threshold=self._threshold(f"{key}.above.threshold", above.get("threshold"))
            if "above" in fields
            else None,
            above=self._rates(f"{key}.above", above) if "above" in fields else None,
            fast=self._rates(f"{key}.fast", self._mapping(f"{key}.fast", fields["fast"], _TOKENS))
            if "fast" in fields
            else None,
        )

    def _rates(self, key: str, fields: Mapping[str, Any]) -> Rates:
        missing = [name for name in _REQUIRED if name not in fields]
        if missing:
            raise self._error(key, f'"{missing[0]}" is missing', _FIX)
        return rates_of(
            {
                name: self._amount(f"{key}.{name}", value, MOST_PER_MTOK, _FIX)
                for name, value in fields.items()
                if name in _TOKENS
            }
        )

    def _search(self, key: str, value: Any) -> Pico:
        return from_usd(
            self._amount(key, value, MOST_PER_SEARCH, "give dollars for one search, such as 0.01")
        )

    def _threshold(self, key: str, tokens: Any) -> int:
        if type(tokens) is not int or tokens < 1:
            raise self._error(key, f"must be a number of tokens, got {got(tokens)}", "try 100000")
        return tokens

    def _mapping(self, key: str, raw: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
        if not isinstance(raw, Mapping):
            raise self._error(
                key,
                f"must be a mapping of prices, got {got(raw)}",
                f"give {known[0]} and {known[1]}",
            )
        for name in raw:
            if name not in known:
                raise self._error(
                    f"{key}.{name}",
                    "unknown price",
                    did_you_mean(str(name), known, "prices"),
                )
        return raw

    def _amount(self, key: str, value: Any, most: int, fix: str) -> Decimal:
        try:
            # By its text: YAML may give a float, and 2.5 must stay 2.5.
            amount = Decimal(str(value))
        except ArithmeticError:
            amount = Decimal(-1)
        if not amount.is_finite() or amount < 0:
            raise self._error(key, f"not a price: {got(value)}", fix)
        if amount > most:
            raise self._error(key, f"{got(value)} is more than ${most:,}", fix)
        return amount

    def _error(self, key: str, reason: str, fix: str) -> ConfigError:
        place = self._where(key)
        return ConfigError(
            "E134", f"{place}: {key}: {reason}" if place else f"{key}: {reason}", fix=fix
        )
