"""The caps of a run: checked, and resolved for its tag."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from claudebatch.config.sections import BudgetSection, Config, TagCaps
from claudebatch.config.values import MOST_DOLLARS, ValueReader
from claudebatch.core.domain import Pico, from_usd
from claudebatch.core.errors import ConfigError
from claudebatch.core.shared_cap import SharedCap
from claudebatch.layers.budget.settings import BudgetSettings

# Longer ones would not fit into the tables of `claudebatch spend`.
_LONGEST_TAG = 64


def resolve_budget(config: Config, values: ValueReader) -> BudgetSettings:
    """The caps that concern a run under *config*. Raises `ConfigError`."""
    caps = (
        config.budget
        if isinstance(config.budget, BudgetSection)
        else BudgetSection(run=config.budget)  # dollars alone are the cap of the run
    )
    _check_amounts(config.budget, values)
    _check_tags((("tag", config.tag), *_tag_keys(caps)), values)
    share = values.share("budget.overshoot", caps.overshoot)
    cap = None if caps.run is None else from_usd(caps.run)
    return BudgetSettings(
        cap=cap,
        mode=caps.mode,
        # In decimals: 10 % of a cap is no binary fraction, and not a pico-dollar more.
        overshoot=0 if cap is None or caps.mode == "strict" else int(cap * Decimal(str(share))),
        shared=tuple(_shared(caps, config.tag)),
    )


def _shared(caps: BudgetSection, tag: str | None) -> Iterator[SharedCap]:
    """The caps that a run under *tag* shares with other runs."""
    yield from _cap("day", caps.day, "day", None, "budget.day")
    yield from _cap("month", caps.month, "month", None, "budget.month")
    # Dollars alone after a tag are all that its runs may ever spend.
    found = caps.tags.get(tag) if tag else None
    tagged = found if isinstance(found, TagCaps) else TagCaps(total=found)
    setting = f"budget.tags.{tag}"
    yield from _cap(f"tag {tag}", tagged.total, "total", tag, setting)
    yield from _cap(f"tag {tag} per day", tagged.day, "day", tag, setting)
    yield from _cap(f"tag {tag} per month", tagged.month, "month", tag, setting)


def _cap(
    name: str,
    dollars: Decimal | None,
    span: Literal["day", "month", "total"],
    tag: str | None,
    setting: str,
) -> Iterator[SharedCap]:
    if dollars is not None:
        limit: Pico = from_usd(dollars)
        yield SharedCap(name, limit, span, tag, setting)


def _check_amounts(budget: Decimal | BudgetSection | None, values: ValueReader) -> None:
    for key, dollars in _amounts(budget):
        if dollars is not None and not (dollars.is_finite() and 0 < dollars <= MOST_DOLLARS):
            raise ConfigError(
                "E107",
                f"{values.at(key)} must be an amount of dollars above 0 and at most "
                f"{MOST_DOLLARS:,}, got {str(dollars)[:40]}",
                fix="try --budget 5 or --budget 2.50",
            )


def _amounts(budget: Decimal | BudgetSection | None) -> Iterator[tuple[str, Decimal | None]]:
    if not isinstance(budget, BudgetSection):
        yield "budget", budget
        return
    yield "budget.run", budget.run
    yield "budget.day", budget.day
    yield "budget.month", budget.month
    for tag, caps in budget.tags.items():
        key = f"budget.tags.{tag}"
        if isinstance(caps, TagCaps):
            yield f"{key}.total", caps.total
            yield f"{key}.day", caps.day
            yield f"{key}.month", caps.month
        else:
            yield key, caps


def _tag_keys(caps: BudgetSection) -> Iterator[tuple[str, str]]:
    for tag in caps.tags:
        yield f"budget.tags.{tag}", tag


def _check_tags(tags: tuple[tuple[str, str | None], ...], values: ValueReader) -> None:
    for key, tag in tags:
        # It is printed in tables and read from command lines.
        if tag is not None and not (
            0 < len(tag) <= _LONGEST_TAG and tag.isprintable() and tag == tag.strip()
        ):
            raise ConfigError(
                "E108",
                f"{values.at(key)}: a tag has 1 to {_LONGEST_TAG} printable characters, without "
                f"spaces at either end",
                fix="choose a short name, such as client-a",
            )
