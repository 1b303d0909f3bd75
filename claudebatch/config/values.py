"""Values that have the right type, read from their text; what cannot be meant is
refused with the place that it was set at: the file or a flag.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NoReturn

from claudebatch.config import units
from claudebatch.core.domain import Pico, from_usd
from claudebatch.core.errors import ConfigError

# A typo of many digits must not become arithmetic; and 64 bits hold nine million
# dollars.
MOST_DOLLARS = 4_000_000


class ValueReader:
    """Reads values of one configuration; every method raises `ConfigError`."""

    def __init__(self, where: Callable[[str], str]) -> None:
        """*where* gives the `file:line` or flag of a dotted key; empty: nobody set
        it.
        """
        self._where = where
        # Mutable: the key that was named last, which is the one at fault after a
        # refusal.
        self.asked = ""

    def at(self, key: str) -> str:
        """*key* as a message begins with it, after its place."""
        self.asked = key
        place = self._where(key)
        return f"{place}: {key}" if place else key

    def seconds(self, key: str, text: str | float) -> float:
        """A duration such as `15m`."""
        return units.seconds(self.at(key), text)

    def share(self, key: str, text: str | float) -> float:
        """A share such as `20%`, from 0 to 1."""
        return units.share(self.at(key), text)

    def size(self, key: str, text: str | int) -> int:
        """Bytes of a size such as `2GB`."""
        return units.size(self.at(key), text)

    def dollars(self, key: str, amount: Decimal, usual: Decimal) -> Pico:
        """An amount from 0, in pico-dollars; *usual* is what the fix proposes."""
        if not (amount.is_finite() and 0 <= amount <= MOST_DOLLARS):
            self.refuse(key, "must be an amount of dollars from 0", amount, usual)
        return from_usd(amount)

    def refuse(self, key: str, reason: str, value: object, usual: object) -> NoReturn:
        """Say that *value* cannot be meant, and what could."""
        raise ConfigError(
            "E116",
            f"{self.at(key)} {reason}, got {str(value)[:40]}",
            fix=f"try {key.rpartition('.')[2]}: {usual}",
        )
