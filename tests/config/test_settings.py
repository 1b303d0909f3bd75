"""Settings are what the text means: read once, in the units of those who use them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from claudebatch.alerts.settings import AlertSettings
from claudebatch.config import units
from claudebatch.config.load import load
from claudebatch.config.sections import Config
from claudebatch.config.settings import resolve
from claudebatch.core.errors import ConfigError
from claudebatch.layers.budget.settings import BudgetSettings
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from claudebatch.layers.rate_limit.settings import PoolLimits, RateLimitSettings
from claudebatch.layers.response_cache.settings import CachePolicy, CacheSettings
from claudebatch.layers.retry.settings import RetryBudgetPolicy, RetryPolicy
from claudebatch.setup.run_setup import RunSetup
from tests.support.parts import TODAY
from tests.support.settings import settings_of


def test_the_defaults_of_a_file_are_those_of_the_layers():
    settings = resolve(Config())
    assert settings.retry == RetryPolicy()
    assert settings.retry_budget == RetryBudgetPolicy()
    assert settings.breaker == BreakerPolicy()
    assert settings.cache == CacheSettings()
    assert settings.limits == RateLimitSettings()
    assert settings.budget == BudgetSettings()
    assert settings.alerts == AlertSettings()


def test_durations_are_seconds():
    settings = settings_of(max_outage="15m", attempt_deadline="1h", idle_timeout=90, grace="2.5s")
    assert settings.max_outage_s == 900
    assert settings.attempt_deadline_s == 3600
    assert (settings.idle_timeout_s, settings.grace_s) == (90, 2.5)
    assert settings_of(alerts={"timeout": "9s"}).alerts.sinks.timeout_s == 9
    assert settings_of(monitor={"pause": "1m"}).alerts.pause_s == 60


def test_shares_are_numbers_from_0_to_1():
    limits = settings_of(limits={"headroom": "25%"}).limits
    assert (limits.headroom, limits.our_share) == (0.25, 0.75)
    assert settings_of(retry={"budget": "30%"}).retry_budget.share == 0.3


def test_what_is_written_of_the_cache_is_its_age_its_bytes_and_its_policy():
    cache = {"ttl": "2h", "size": "3MB", "keep_max_tokens": True}
    assert settings_of(cache=cache).cache == CacheSettings(
        ttl_s=7200, size_bytes=3 * 2**20, policy=CachePolicy(keep_max_tokens=True)
    )
    assert settings_of(cache={"ttl": None}).cache.ttl_s is None
    assert not settings_of(cache={"enabled": False}).cache.enabled


def test_limits_that_were_chosen_are_those_of_their_pool():
    limits = settings_of(
        limits={"tier": "build", "pools": {"opus-5.5": {"output_tokens_per_minute": 9}}},
        concurrency=7,
    ).limits
    assert limits.pools == {"opus-5.5": PoolLimits(output_tokens_per_minute=9)}
    assert (limits.tier, limits.concurrency) == ("build", 7)


def test_retry_and_breaker_take_each_number_by_its_own_name():
    retry = {"max_attempts": 2, "base_s": 3, "cap_s": 4, "max_wait_s": 5, "budget_floor_per_s": 6}
    settings = settings_of(retry=retry)
    assert settings.retry == RetryPolicy(max_attempts=2, base_s=3, cap_s=4, max_wait_s=5)
    assert settings.retry_budget == RetryBudgetPolicy(floor_per_s=6)
    breaker = {
        "minimum_calls": 2,
        "failure_rate": 0.1,
        "slow_call": 0.2,
        "slow_call_rate": 0.3,
        "window_s": 4,
        "wait_open_s": 5,
        "probes": 6,
    }
    assert settings_of(breaker=breaker).breaker == BreakerPolicy(**breaker)


def counted(parse: Callable[..., float], read: list[str]) -> Callable[..., float]:
    """*parse*, which notes in *read* the key of each text that it was given."""

    def noted(where: str, text: object) -> float:
        read.append(where.rpartition(": ")[2])
        return parse(where, text)

    return noted


def test_each_text_is_read_once(tmp_path, monkeypatch):
    read: list[str] = []
    for name in ("seconds", "share", "size"):
        monkeypatch.setattr(units, name, counted(getattr(units, name), read))
    file = tmp_path / "c.yaml"
    file.write_text("limits: {headroom: 10%}\n")
    settings = load(file, {}, env={}, folder=tmp_path).settings
    RunSetup.set_up(settings, override=None, at=TODAY)
    assert sorted(read) == [
        "alerts.timeout",
        "attempt_deadline",
        "batches.cancel_time",
        "batches.max_size",
        "batches.poll",
        "budget.overshoot",
        "cache.size",
        "cache.ttl",
        "grace",
        "idle_timeout",
        "limits.headroom",
        "max_outage",
        "monitor.pause",
        "retry.budget",
    ]


def test_a_value_is_refused_with_the_place_that_set_it():
    with pytest.raises(ConfigError, match=r"^--grace: grace: not a duration") as refused:
        resolve(Config(grace="soon"), lambda key: f"--{key}")
    assert refused.value.fix
