"""Caps and tags that cannot be meant, found before a run begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from claudebatch.config.sections import BudgetSection, Config, TagCaps
from claudebatch.config.units import share
from claudebatch.core.errors import ConfigError

# A typo of many digits must not become arithmetic; and 64 bits hold nine million
# dollars.
MOST_DOLLARS = 4_000_000
_LONGEST_TAG = 64


def check_budget(config: Config, at: Callable[[str], str]) -> None:
    """Raise `ConfigError` for what cannot be meant; *at* names the place of a dotted
    key.
    """
    for key, dollars in _dollars(config):
        if dollars is not None and not (dollars.is_finite() and 0 < dollars <= MOST_DOLLARS):
            raise ConfigError(
                f"{at(key)} must be an amount of dollars above 0 and at most {MOST_DOLLARS:,}, "
                f"got {str(dollars)[:40]}",
                fix="try --budget 5 or --budget 2.50",
            )
    for key, tag in [
        ("tag", config.tag),
        *((f"budget.tags.{tag}", tag) for tag in config.caps.tags),
    ]:
        if tag is not None and not (
            0 < len(tag) <= _LONGEST_TAG and tag.isprintable() and tag == tag.strip()
        ):
            raise ConfigError(
                f"{at(key)}: a tag has 1 to {_LONGEST_TAG} printable characters and no space at "
                f"its ends",
                fix="choose a short name, such as client-a",
            )
    share(at("budget.overshoot"), config.caps.overshoot)


def _dollars(config: Config) -> Iterator[tuple[str, Decimal | None]]:
    budget = config.budget
    if not isinstance(budget, BudgetSection):
        yield "budget", budget
        return
    yield from (
        ("budget.run", budget.run),
        ("budget.day", budget.day),
        ("budget.month", budget.month),
    )
    for tag, caps in budget.tags.items():
        key = f"budget.tags.{tag}"
        if isinstance(caps, TagCaps):
            yield from (
                (f"{key}.total", caps.total),
                (f"{key}.day", caps.day),
                (f"{key}.month", caps.month),
            )
        else:
            yield key, caps
