"""The rates of one model, and the cost of an answer's tokens by them: whole numbers
only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from operator import mul

from claudebatch.core.billed_kinds import counts_of
from claudebatch.core.domain import TOKEN_KINDS, Pico, Usage, from_usd

_TOKENS_PER_MTOK = 10**6
PER_SEARCH = from_usd(Decimal("0.01"))
"""One web search, without another price."""
_token_counts = counts_of(TOKEN_KINDS)


class UnknownPrice(LookupError):
    """No price is known for a model, or for the way in which it answered."""


class Rates:
    """Pico-dollars per token, by the kinds' names among prices."""

    __slots__ = ("_in_order", "_input", "prices")

    def __init__(self, **prices: Pico) -> None:
        """A price for each of `TOKEN_KINDS`."""
        self.prices: Mapping[str, Pico] = {kind.price: prices[kind.price] for kind in TOKEN_KINDS}
        # `cost` runs for every answer: its factors are laid out once.
        self._in_order = tuple(self.prices.values())
        self._input = [(kind, prices[kind.price]) for kind in TOKEN_KINDS if kind.side == "input"]

    def __repr__(self) -> str:
        # The version of a price book is a digest of this text.
        return f"Rates({', '.join(f'{name}={price}' for name, price in self.prices.items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rates) and self.prices == other.prices

    def __hash__(self) -> int:
        return hash(self._in_order)

    @property
    def input(self) -> Pico:
        """A token of input that is not cached."""
        return self.prices["input"]

    @property
    def output(self) -> Pico:
        """A token of output."""
        return self.prices["output"]

    def cost(self, usage: Usage) -> Pico:
        """The cost of the tokens of *usage*, without searches, regional surcharge and
        the discount of a batch.
        """
        return sum(map(mul, _token_counts(usage), self._in_order))

    def dearest_input(self, body: bytes) -> Pico:
        """The highest price of an input token that the request in *body* makes
        possible.
        """
        # Only a request that asks for caching can be billed for a cache write, which is
        # dearer than plain input.
        if b'"cache_control"' not in body:
            return self.input
        return max(price for kind, price in self._input if kind.only_with in body)


@dataclass(frozen=True, slots=True)
class ModelRates:
    """A model's rates: base, above an input threshold, and in fast mode."""

    base: Rates
    search: Pico
    threshold: int | None = None
    """Above this many tokens of total input, the whole request costs `above`."""
    above: Rates | None = None
    fast: Rates | None = None
    """None: fast mode has no known price, so that an answer from it has none."""

    def of(self, usage: Usage, speed: str | None) -> Rates:
        """The rates for an answer with *usage*; raises `UnknownPrice`."""
        if speed == "fast":
            return self._of_fast()
        # Few models have a threshold: for the others the input need not be added up.
        if self.above is None or self.threshold is None or usage.total_input <= self.threshold:
            return self.base
        return self.above

    def possible(self, input_bound: int, *, fast: bool) -> tuple[Rates, ...]:
        """All rates that may apply to a request of up to *input_bound* tokens; raises
        `UnknownPrice`.

        A request for fast mode may be served at standard speed, and one that might pass
        the threshold may stay below it.
        """
        above = () if self.above is None or input_bound <= (self.threshold or 0) else (self.above,)
        return (self.base, *above, *((self._of_fast(),) if fast else ()))

    def _of_fast(self) -> Rates:
        if self.fast is None:
            raise UnknownPrice("fast mode")
        return self.fast


def per_token(dollars_per_mtok: Decimal) -> Pico:
    """Pico-dollars for one token."""
    return from_usd(dollars_per_mtok / _TOKENS_PER_MTOK)


def rates_of(dollars: Mapping[str, Decimal]) -> Rates:
    """Rates of *dollars* per million tokens; a missing one gets a price that is never
    too low.
    """
    paid = dollars["input"]
    defaults = {
        kind.price: paid * kind.times_input for kind in TOKEN_KINDS if kind.times_input is not None
    }
    known = {**defaults, **dollars}
    return Rates(**{kind.price: per_token(known[kind.price]) for kind in TOKEN_KINDS})
