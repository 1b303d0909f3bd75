"""The settings of a run as the program uses them: every text is read here, once.

Seconds are floats, shares are floats from 0 to 1, sizes are bytes, money is
pico-dollars, and the caps are those of the run's own tag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from claudebatch.alerts.settings import AlertSettings
from claudebatch.config.alerts import resolve_alerts
from claudebatch.config.budget import resolve_budget
from claudebatch.config.schema_faults import with_default
from claudebatch.config.sections import (
    BreakerSection,
    CacheSection,
    Config,
    LimitsSection,
    RetrySection,
    SimulateSection,
    TurnSection,
    intake_text,
)
from claudebatch.config.shared import resolve_shared
from claudebatch.config.values import ValueReader
from claudebatch.core.domain import Pico
from claudebatch.core.errors import ConfigError, all_at_once
from claudebatch.core.jsonl import encode_in_order
from claudebatch.core.send_via import BatchSettings
from claudebatch.layers.budget.settings import BudgetSettings
from claudebatch.layers.circuit_breaker.settings import BreakerPolicy
from claudebatch.layers.prompt_caching.mark_plan import PromptCaching
from claudebatch.layers.rate_limit.settings import PoolLimits, RateLimitSettings
from claudebatch.layers.response_cache.settings import CachePolicy, CacheSettings, Sharing
from claudebatch.layers.retry.settings import RetryBudgetPolicy, RetryPolicy
from claudebatch.models.catalog import Catalog
from claudebatch.models.prices import parse_overrides
from claudebatch.storage.shared_server.settings import SharedSettings

# Every pool has this many workers from the start: more would only fill the memory.
_MOST_AT_ONCE = 10_000
# No model writes that much: a typo of many digits must not become arithmetic.
_MOST_TOKENS = 1_000_000
# The API's own limit of one batch.
_LARGEST_BATCH = 256_000_000
# What the fix of a wrong value proposes.
_USUAL = Config()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a run can be told, in the types that its parts take."""

    model: str
    max_tokens: int
    system: str | None
    template: str | None
    messages: tuple[TurnSection, ...]
    """The turns that are made of each row; none: the template's one."""
    """Makes the prompts of the rows' columns, where the command has none."""
    image: tuple[str, ...]
    """Fields of rows that name images to be sent along."""
    document: tuple[str, ...]
    """The same of PDFs and texts."""
    files_root: str | None
    """Such files lie below this folder; None: that of the input."""
    repeat: int
    """How many answers each line wants, where it does not say."""
    schema: str | None
    """What answers have to fit, where the command does not say: JSON, or a few
    words.
    """
    schema_retries: int
    """So often an answer that does not fit its schema is asked again."""
    extract: str | None
    """What is to be found in answers in prose, where the command does not say."""
    tag: str
    """What the run belongs to; empty: nothing."""
    on_bad_row: Literal["stop", "skip"]
    expected_output_tokens: int | None
    max_outage_s: float
    stop_after: int
    """So many equal failures without an answer between them stop the run; 0: never."""
    attempt_deadline_s: float
    idle_timeout_s: float
    grace_s: float
    confirm_above: Pico
    routes: Sequence[Mapping[str, Any]]
    fallbacks: Mapping[str, Sequence[str]]
    fallback_on: frozenset[str]
    limits: RateLimitSettings
    cache: CacheSettings
    retry: RetryPolicy
    retry_budget: RetryBudgetPolicy
    breaker: BreakerPolicy
    budget: BudgetSettings
    prompt_caching: PromptCaching
    """Whether marks are set for the API's prompt cache."""
    batches: BatchSettings
    alerts: AlertSettings
    prices: Mapping[str, Mapping[str, Any]]
    """As the price book reads them."""
    models: Mapping[str, Mapping[str, Any]]
    """As the catalog reads them."""
    simulate: SimulateSection
    shared: SharedSettings | None
    """None: limits are those of this process alone."""
    intake_text: str
    """Equal when everything that the check of the input depends on is equal."""


def resolve(config: Config, where: Callable[[str], str] = lambda key: "") -> Settings:
    """The settings that *config* means. Raises `ConfigError` with all values that
    cannot be meant; *where* gives the `file:line` or flag of a dotted key.
    """
    found: dict[str, ConfigError] = {}
    while True:
        values = ValueReader(where)
        try:
            settings = _resolved(config, values, where)
        except ConfigError as error:
            # Met again: it was not of the value that was asked for last.
            if error.message in found:
                break
            found[error.message] = error
            # The rest is looked at as if this value had been left out.
            config = with_default(config, values.asked.split("."))
        else:
            if not found:
                return settings
            break
    raise all_at_once(list(found.values()))


def _resolved(config: Config, values: ValueReader, where: Callable[[str], str]) -> Settings:
    # In this order, because the first wrong value is the one that is reported first.
    _check_counts(config, values)
    budget = resolve_budget(config, values)
    settings = Settings(
        model=config.model,
        max_tokens=config.max_tokens,
        system=config.system,
        template=config.template,
        messages=tuple(config.messages),
        image=tuple(config.image),
        document=tuple(config.document),
        files_root=config.files_root,
        repeat=config.repeat,
        schema=_schema(config.schema),
        schema_retries=config.schema_retries,
        extract=config.extract,
        tag=config.tag or "",
        on_bad_row=config.on_bad_row,
        expected_output_tokens=config.expected_output_tokens,
        confirm_above=values.dollars("confirm_above", config.confirm_above, _USUAL.confirm_above),
        max_outage_s=(max_outage_s := values.seconds("max_outage", config.max_outage)),
        stop_after=config.stop_after,
        attempt_deadline_s=values.seconds("attempt_deadline", config.attempt_deadline),
        idle_timeout_s=_idle_timeout_s(config, values),
        grace_s=values.seconds("grace", config.grace),
        routes=config.routes,
        fallbacks=config.fallbacks,
        fallback_on=frozenset(config.fallback_on),
        alerts=resolve_alerts(config, values),
        retry=_retry(config.retry, max_outage_s),
        retry_budget=_retry_budget(config.retry, values),
        limits=_limits(config.limits, config.concurrency, values),
        breaker=_breaker(config.breaker),
        budget=budget,
        prompt_caching=_prompt_caching(config, values),
        batches=_batches(config, values),
        cache=_cache(config.cache, values),
        prices=config.prices,
        models=config.models,
        simulate=config.simulate,
        shared=resolve_shared(config.shared, values),
        intake_text=intake_text(config, capped=budget.capped),
    )
    _check_together(config, values, where)
    return settings


def _schema(schema: str | Mapping[str, Any] | None) -> str | None:
    if schema is None or isinstance(schema, str):
        return schema
    return encode_in_order(schema).decode()


def _check_counts(config: Config, values: ValueReader) -> None:
    if not 1 <= config.max_tokens <= _MOST_TOKENS:
        reason = f"must be a whole number from 1 to {_MOST_TOKENS}"
        values.refuse("max_tokens", reason, config.max_tokens, _USUAL.max_tokens)
    if config.concurrency != "auto" and not 1 <= config.concurrency <= _MOST_AT_ONCE:
        reason = f"must be auto or a whole number from 1 to {_MOST_AT_ONCE}"
        values.refuse("concurrency", reason, config.concurrency, _USUAL.concurrency)


def _check_together(config: Config, values: ValueReader, where: Callable[[str], str]) -> None:
    """Refuse what contradicts something else, and facts that their readers refuse."""
    # Either alone makes sense; together they would serve what the other avoids.
    if config.cache.keep_refusals and "refusal" in config.fallback_on:
        raise ConfigError(
            "E113",
            f"{values.at('cache.keep_refusals')} contradicts fallback_on: refusal, as a kept "
            f"refusal would be used before another model is asked",
            fix="remove one of the two",
        )
    if config.messages and config.template is not None:
        raise ConfigError(
            "E190",
            f"{values.at('messages')} and template are both given",
            fix="write the template as the last of the messages",
        )
    # Each run reads them again at its own time; here they are only tried, because only
    # here file and line are known.
    parse_overrides(config.prices, where)
    if config.models:
        Catalog.load(config.models, where)


def _idle_timeout_s(config: Config, values: ValueReader) -> float:
    idle_s = values.seconds("idle_timeout", config.idle_timeout)
    # 0 would end every answer before its first byte.
    if idle_s <= 0:
        values.refuse("idle_timeout", "must be above 0", config.idle_timeout, _USUAL.idle_timeout)
    return idle_s


def _limits(
    limits: LimitsSection, concurrency: int | Literal["auto"], values: ValueReader
) -> RateLimitSettings:
    headroom = values.share("limits.headroom", limits.headroom)
    # With nothing left to use, a run would wait for ever.
    if headroom >= 1:
        values.refuse("limits.headroom", "must leave something to use", limits.headroom, "10%")
    if limits.watch_output is True:
        values.refuse("limits.watch_output", "must be auto or off", limits.watch_output, "auto")
    return RateLimitSettings(
        tier=limits.tier,
        headroom=headroom,
        watch_output=limits.watch_output == "auto",
        pools={
            pool: PoolLimits(
                requests_per_minute=chosen.requests_per_minute,
                input_tokens_per_minute=chosen.input_tokens_per_minute,
                output_tokens_per_minute=chosen.output_tokens_per_minute,
            )
            for pool, chosen in limits.pools.items()
        },
        concurrency=None if concurrency == "auto" else concurrency,
    )


def _cache(cache: CacheSection, values: ValueReader) -> CacheSettings:
    return CacheSettings(
        enabled=cache.enabled,
        size_bytes=values.size("cache.size", cache.size),
        ttl_s=None if cache.ttl is None else values.seconds("cache.ttl", cache.ttl),
        policy=CachePolicy(cache.keep_max_tokens, cache.keep_refusals),
        shared=_sharing(cache.shared),
    )


def _sharing(chosen: Sharing | bool) -> Sharing:
    # YAML reads `off` as false; `true` is the word of before.
    if isinstance(chosen, bool):
        return "answers" if chosen else "off"
    return chosen


def _prompt_caching(config: Config, values: ValueReader) -> PromptCaching:
    chosen = config.prompt_caching
    if chosen is True:
        values.refuse("prompt_caching", "must be auto, respect or off", chosen, "auto")
    return "off" if isinstance(chosen, bool) else chosen


def _batches(config: Config, values: ValueReader) -> BatchSettings:
    chosen = config.batches
    size = values.size("batches.max_size", chosen.max_size)
    if not 1 <= size <= _LARGEST_BATCH:
        values.refuse("batches.max_size", "must be 256MB at most", chosen.max_size, "200MB")
    return BatchSettings(
        via=config.via,
        # A rule without a word of it goes the way of all others.
        of_rules={
            str(rule.get("name")): rule["via"]
            for rule in config.routes
            if isinstance(rule, Mapping) and rule.get("via") in ("live", "batch")
        },
        max_requests=chosen.max_requests,
        max_bytes=size,
        max_queued=chosen.max_queued,
        tries=chosen.tries,
        poll_s=values.seconds("batches.poll", chosen.poll),
        cancel_s=values.seconds("batches.cancel_time", chosen.cancel_time),
    )


def _retry(retry: RetrySection, max_outage_s: float) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=retry.max_attempts,
        base_s=retry.base_s,
        cap_s=retry.cap_s,
        # A row that is asked to wait for longer than an outage may last asks before.
        max_wait_s=min(retry.max_wait_s, max_outage_s),
    )


def _retry_budget(retry: RetrySection, values: ValueReader) -> RetryBudgetPolicy:
    share = values.share("retry.budget", retry.budget)
    return RetryBudgetPolicy(share=share, floor_per_s=retry.budget_floor_per_s)


def _breaker(breaker: BreakerSection) -> BreakerPolicy:
    return BreakerPolicy(
        minimum_calls=breaker.minimum_calls,
        failure_rate=breaker.failure_rate,
        slow_call=breaker.slow_call,
        slow_call_rate=breaker.slow_call_rate,
        window_s=breaker.window_s,
        wait_open_s=breaker.wait_open_s,
        probes=breaker.probes,
    )
