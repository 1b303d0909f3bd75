"""The rates of one model, and what they make of an answer's tokens: whole numbers only."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from claudebatch.core.domain import Pico, Usage, from_usd

_TOKENS_PER_MTOK = 10**6
PER_SEARCH = from_usd(Decimal("0.01"))
"""One web search, where nothing else is said."""


class UnknownPrice(LookupError):
    """No price is known for a model, or for the way in which it answered."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Pico-dollars per token, by kind of token."""

    input: Pico
    cache_write_5m: Pico
    cache_write_1h: Pico
    cache_read: Pico
    output: Pico

    def cost(self, usage: Usage) -> Pico:
        """What the tokens of *usage* cost, without searches, regional surcharge and the
        discount of a batch.
        """
        return (
            usage.input_tokens * self.input
            + usage.ephemeral_5m_input_tokens * self.cache_write_5m
            + usage.ephemeral_1h_input_tokens * self.cache_write_1h
            + usage.cache_read_input_tokens * self.cache_read
            + usage.output_tokens * self.output
        )

    def dearest_input(self, body: bytes) -> Pico:
        """The most that a token of input can cost, by what the request in *body* makes
        possible.
        """
        if b'"cache_control"' not in body:
            return self.input
        return max(
            self.input,
            self.cache_read,
            self.cache_write_1h if b'"1h"' in body else self.cache_write_5m,
        )


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

    def of(self, total_input: int, speed: str | None) -> Rates:
        """The rates for a request of *total_input* tokens; raises `UnknownPrice`."""
        if speed == "fast":
            return self._of_fast()
        if self.above is not None and self.threshold is not None and total_input > self.threshold:
            return self.above
        return self.base

    def possible(self, input_bound: int, *, fast: bool) -> tuple[Rates, ...]:
        """All rates that may apply to a request of up to *input_bound* tokens; raises
        `UnknownPrice`.

        One that asks for fast mode may be served at standard speed, and one that might
        pass the threshold may not.
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


def rates_of(dollars: dict[str, Decimal]) -> Rates:
    """Rates of *dollars* per million tokens; what is left out of them is never too low."""
    paid = dollars["input"]
    return Rates(
        input=per_token(paid),
        cache_write_5m=per_token(dollars.get("cache_write_5m", paid * Decimal("1.25"))),
        cache_write_1h=per_token(dollars.get("cache_write_1h", paid * 2)),
        cache_read=per_token(dollars.get("cache_read", paid)),
        output=per_token(dollars["output"]),
    )
