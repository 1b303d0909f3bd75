"""Values that have the right type and still cannot be meant, wherever they came from:
the file or a flag.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from claudebatch.config.alerts import check_alerts
from claudebatch.config.budget import MOST_DOLLARS, check_budget
from claudebatch.config.sections import Config
from claudebatch.config.units import seconds, share, size
from claudebatch.core.errors import ConfigError
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import parse_overrides

# Every pool has this many workers from the start: more would only fill the memory.
_MOST_AT_ONCE = 10_000
# No model writes that much: a typo of many digits must not become arithmetic.
_MOST_TOKENS = 1_000_000


def check_values(config: Config, where: Callable[[str], str]) -> None:
    """Raise `ConfigError` for the first impossible value; *where* gives the `file:line`
    or flag of a dotted key.
    """
    defaults = Config()
    if not 1 <= config.max_tokens <= _MOST_TOKENS:
        reason = f"must be a whole number from 1 to {_MOST_TOKENS}"
        _refuse(where, "max_tokens", reason, config.max_tokens, defaults.max_tokens)
    if config.concurrency != "auto" and not 1 <= config.concurrency <= _MOST_AT_ONCE:
        reason = f"must be auto or a whole number from 1 to {_MOST_AT_ONCE}"
        _refuse(where, "concurrency", reason, config.concurrency, defaults.concurrency)
    check_budget(config, lambda key: _at(where, key))
    _check_dollars(where, "confirm_above", config.confirm_above, defaults.confirm_above)
    floor = "monitor.floor_usd_per_minute"
    _check_dollars(
        where, floor, config.monitor.floor_usd_per_minute, defaults.monitor.floor_usd_per_minute
    )
    seconds(_at(where, "max_outage"), config.max_outage)
    seconds(_at(where, "attempt_deadline"), config.attempt_deadline)
    if seconds(_at(where, "idle_timeout"), config.idle_timeout) <= 0:
        _refuse(
            where, "idle_timeout", "must be above 0", config.idle_timeout, defaults.idle_timeout
        )
    seconds(_at(where, "grace"), config.grace)
    check_alerts(config.alerts, config.monitor, lambda key: _at(where, key))
    share(_at(where, "retry.budget"), config.retry.budget)
    if share(_at(where, "limits.headroom"), config.limits.headroom) >= 1:
        _refuse(
            where, "limits.headroom", "must leave something to use", config.limits.headroom, "10%"
        )
    if config.cache.keep_refusals and "refusal" in config.fallback_on:
        raise ConfigError(
            f"{_at(where, 'cache.keep_refusals')}: a refusal that is kept would be served, and "
            f"fallback_on asks another"
            " model instead",
            fix="choose one of the two",
        )
    parse_overrides(config.prices, where)
    if config.models:
        Catalog.load(config.models, where)
    size(_at(where, "cache.size"), config.cache.size)
    if config.cache.ttl is not None:
        seconds(_at(where, "cache.ttl"), config.cache.ttl)


def _check_dollars(where: Callable[[str], str], key: str, value: Decimal, usual: Decimal) -> None:
    if not (value.is_finite() and 0 <= value <= MOST_DOLLARS):
        _refuse(where, key, "must be an amount of dollars from 0", value, usual)


def _refuse(
    where: Callable[[str], str], key: str, reason: str, value: object, usual: object
) -> None:
    raise ConfigError(
        f"{_at(where, key)} {reason}, got {str(value)[:40]}",
        fix=f"try {key.rpartition('.')[2]}: {usual}",
    )


def _at(where: Callable[[str], str], key: str) -> str:
    place = where(key)
    return f"{place}: {key}" if place else key
