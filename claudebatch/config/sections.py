"""The configuration: every key, its type and its default. config.example.yaml explains
each of them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

# What cannot be meant is refused with its file and line: a rate below zero would make a
# run wait for ever.
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
# Nor has anything an end that is infinite: arithmetic with it would be no number.
Above0: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1e12)]
From0: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Share: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=1)]
Percent: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=100)]


# Frozen, because one configuration serves a whole run; keywords only, because a file
# has no order; unknown keys are refused, because a misspelt limit would limit nothing.
class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping whose keys are all known."""


class PoolLimitsSection(_Section, frozen=True):
    """Limits of one pool; a missing one is none."""

    requests_per_minute: Above0 | None = None
    input_tokens_per_minute: Above0 | None = None
    output_tokens_per_minute: Above0 | None = None


class LimitsSection(_Section, frozen=True):
    """Rate limits: a tier's defaults, pools that differ from it, and what is left to
    others.
    """

    tier: Literal["auto", "start", "build", "scale", "none"] = "auto"
    headroom: str | float = "0%"
    # YAML reads `off` as false.
    watch_output: Literal["auto", "off"] | bool = "auto"
    pools: dict[str, PoolLimitsSection] = {}


class CacheSection(_Section, frozen=True):
    """The response cache."""

    enabled: bool = True
    ttl: str | float | None = "30d"
    size: str | int = "2GB"
    keep_max_tokens: bool = False
    keep_refusals: bool = False
    # YAML reads `off` as false.
    shared: Literal["answers", "claims", "off"] | bool = False


class SharedSection(_Section, frozen=True):
    """The server that several hosts share, and which account of it is ours."""

    url: str | None = None
    account: str | None = None
    ca: str | None = None


class RetrySection(_Section, frozen=True):
    """Retries of one call at one model, and how many a pool may have."""

    max_attempts: Count = 8
    base_s: From0 = 1.0
    cap_s: From0 = 60.0
    max_wait_s: From0 = 600.0
    budget: str | float = "20%"
    budget_floor_per_s: Above0 = 1.0


class BreakerSection(_Section, frozen=True):
    """When a pool that keeps failing is left alone."""

    minimum_calls: Count = 20
    failure_rate: Share = 0.5
    slow_call: Share = 0.9
    slow_call_rate: Share = 1.0
    window_s: Above0 = 30.0
    wait_open_s: From0 = 10.0
    probes: Count = 3


class MonitorSection(_Section, frozen=True):
    """When money leaves so much faster than usual that something is done about it, and
    what.
    """

    factor: Above0 = 3.0
    deviations: From0 = 4.0
    floor_usd_per_minute: Decimal = Decimal("0.10")
    on_spike: Literal["warn", "pause", "stop"] = "warn"
    pause: str | float = "5m"


class AlertsSection(_Section, frozen=True):
    """How much of a cap must be used for an alert, and who hears of alerts besides
    screen and log.
    """

    at_percent: tuple[Percent, ...] = (50, 80, 100)
    webhook: str | None = None
    command: list[str] | None = None
    timeout: str | float = "5s"


class TagCaps(_Section, frozen=True):
    """Dollars that all runs of one tag may spend."""

    total: Decimal | None = None
    day: Decimal | None = None
    month: Decimal | None = None


class BudgetSection(_Section, frozen=True):
    """Dollars that may be spent: by this run, and by all runs of this machine in a day,
    in a month, under a tag.
    """

    run: Decimal | None = None
    day: Decimal | None = None
    month: Decimal | None = None
    tags: dict[str, Decimal | TagCaps] = {}
    mode: Literal["strict", "expected"] = "strict"
    overshoot: str | float = "10%"


class BatchesSection(_Section, frozen=True):
    """Message batches: how large they are, and how often a row may come back."""

    max_requests: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    max_size: str | int = "200MB"
    max_queued: Count | None = None
    tries: Count = 3
    poll: str | float = "10s"
    cancel_time: str | float = "15m"


class SimulateSection(_Section, frozen=True):
    """How the built-in simulator behaves under --simulate."""

    latency: str | None = None
    faults: dict[str, float] = {}
    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    burst_seconds: float = 60.0
    seed: int = 0
    batch_time: str = "60x"
    batch_latency: str | None = None
    batch_requests_per_minute: int | None = None
    batch_queue: int | None = None


class TurnSection(_Section, frozen=True):
    """One message of a template."""

    role: Literal["user", "assistant", "system"]
    content: str


class Config(_Section, frozen=True):
    """Everything that a run can be told, flags applied."""

    model: Annotated[str, msgspec.Meta(min_length=1)] = "claude-sonnet-5-5"
    max_tokens: int = 8192
    system: str | None = None
    template: str | None = None
    messages: list[TurnSection] = []
    image: list[str] = []
    document: list[str] = []
    files_root: str | None = None
    repeat: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    # A JSON schema, or a few words for one.
    schema: str | dict[str, Any] | None = None
    schema_retries: Annotated[int, msgspec.Meta(ge=0, le=20)] = 2
    extract: str | None = None
    concurrency: int | Literal["auto"] = "auto"
    budget: Decimal | BudgetSection | None = None
    tag: str | None = None
    on_bad_row: Literal["stop", "skip"] = "stop"
    expected_output_tokens: Count | None = None
    max_outage: str | float = "15m"
    stop_after: Annotated[int, msgspec.Meta(ge=0)] = 20
    attempt_deadline: str | float = "10m"
    idle_timeout: str | float = "90s"
    grace: str | float = "30s"
    confirm_above: Decimal = Decimal(5)
    routes: list[dict[str, Any]] = []
    fallbacks: dict[str, list[str]] = {}
    fallback_on: list[Literal["refusal", "model_context_window_exceeded"]] = []
    limits: LimitsSection = LimitsSection()
    cache: CacheSection = CacheSection()
    retry: RetrySection = RetrySection()
    breaker: BreakerSection = BreakerSection()
    # YAML reads `off` as false.
    prompt_caching: Literal["auto", "respect", "off"] | bool = "auto"
    via: Literal["live", "batch", "auto"] = "live"
    batches: BatchesSection = BatchesSection()
    monitor: MonitorSection = MonitorSection()
    alerts: AlertsSection = AlertsSection()
    prices: dict[str, dict[str, Any]] = {}
    models: dict[str, dict[str, Any]] = {}
    simulate: SimulateSection = SimulateSection()
    shared: str | SharedSection | None = None


def intake_text(config: Config, *, capped: bool) -> str:
    """*config* as one line of text that is equal when everything an intake depends on
    is equal.

    Of the caps it depends on whether there is one, *capped*: only then a row needs a
    bound and its model a price. Of who watches the money it does not depend at all, and
    a webhook's address, which may be a secret, is not to lie in run folders.
    """
    # What is left out changes neither a row nor what it costs at most.
    watched = {"monitor": MonitorSection(), "alerts": AlertsSection()}
    sending = {"via": "live", "batches": BatchesSection()}
    return msgspec.json.encode(
        msgspec.structs.replace(
            config,
            budget=Decimal(1) if capped else None,
            tag=None,
            # Where limits are kept changes no row either, and holds a password.
            shared=None,
            **watched,
            **sending,
        )
    ).decode()
