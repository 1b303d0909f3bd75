"""Where requests go: to the API, or under `--simulate` to the built-in one, started for
this run alone.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from claudebatch.clients import error_table
from claudebatch.clients.base_url import address_of
from claudebatch.clients.batch_client import ClaudeBatches
from claudebatch.clients.batch_protocol import BatchClient
from claudebatch.clients.batch_results import BatchRowError
from claudebatch.clients.client import ClaudeClient
from claudebatch.clients.network_route import KEY_LOG, NetworkRoute
from claudebatch.clients.protocol import Client
from claudebatch.clients.wire_format import API_VERSION
from claudebatch.config import environment, unset
from claudebatch.config.credentials import secrets
from claudebatch.config.network import network_route
from claudebatch.config.settings import Settings
from claudebatch.core.domain import Pico, Usage
from claudebatch.core.errors import AttemptError, StopRun
from claudebatch.estimate.duration import ApiModel
from claudebatch.models.prices import UnknownPrice
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup

if TYPE_CHECKING:
    from claudebatch.simulator import Simulator

# Spelt out or not, it is one API: its answers must not be cached twice.


@dataclass(frozen=True, slots=True)
class ApiTarget:
    """An address and its key; None: where the SDK finds them."""

    base_url: str | None
    api_key: str | None


@asynccontextmanager
async def endpoint(
    options: RunOptions,
    run_setup: RunSetup,
    *,
    now: Callable[[], float],
    wall: Callable[[], datetime],
    rng: random.Random,
) -> AsyncIterator[ApiTarget]:
    """Where this run's requests go, as long as it lasts."""
    if not options.simulate:
        # The SDK finds the key and the base URL where it always does.
        yield ApiTarget(None, None)
        return
    simulator = _simulator(run_setup, now=now, wall=wall, rng=rng)
    url = await simulator.start()
    try:
        yield ApiTarget(url, "simulated")
    finally:
        await simulator.stop()


def _simulator(
    run_setup: RunSetup,
    *,
    now: Callable[[], float],
    wall: Callable[[], datetime],
    rng: random.Random,
) -> Simulator:
    """The API of a rehearsal, as its settings have it; not started yet."""
    # Only a rehearsal loads the simulator.
    from claudebatch.simulator import (  # noqa: PLC0415
        BATCH_LATENCY,
        SIMULATE_LATENCY,
        SimulatedAllowance,
        SimulatedBatches,
        Simulator,
        SimulatorSettings,
        parse_batch_time,
    )

    simulate = run_setup.settings.simulate
    return Simulator(
        SimulatorSettings(
            latency=simulate.latency or SIMULATE_LATENCY,
            limits=SimulatedAllowance(
                simulate.requests_per_minute,
                simulate.input_tokens_per_minute,
                simulate.output_tokens_per_minute,
                simulate.burst_seconds,
            ),
            faults=simulate.faults,
            seed=simulate.seed,
            batches=SimulatedBatches(
                time=parse_batch_time(simulate.batch_time),
                latency=simulate.batch_latency or BATCH_LATENCY,
                rpm=simulate.batch_requests_per_minute,
                queue=simulate.batch_queue,
            ),
        ),
        bill=lambda model, usage: _bill(run_setup, model, usage),
        pool_of=run_setup.catalog.pool_of,
        now=now,
        wall=wall,
        # With a seed of its own a rehearsal can be repeated answer by answer.
        rng=random.Random(simulate.seed) if simulate.seed else rng,
    )


def client_for(
    api: ApiTarget,
    run_setup: RunSetup,
    *,
    concurrency: int,
    now: Callable[[], float],
    wall: Callable[[], datetime],
) -> Client:
    """A client for *api*. Make it inside a running event loop."""
    return client_of(
        api,
        idle_timeout_s=run_setup.settings.idle_timeout_s,
        concurrency=concurrency,
        now=now,
        wall=wall,
    )


def client_of(
    api: ApiTarget,
    *,
    idle_timeout_s: float,
    concurrency: int,
    now: Callable[[], float],
    wall: Callable[[], datetime],
) -> Client:
    """The same for a process that knows nothing else of the run."""
    return ClaudeClient(
        api_key=api.api_key,
        base_url=api.base_url,
        concurrency=concurrency,
        idle_timeout_s=idle_timeout_s,
        now=now,
        wall=wall,
        secrets=secrets(environment()),
        route=route_to(api.base_url),
    )


def batches_for(
    api: ApiTarget,
    run_setup: RunSetup,
    *,
    now: Callable[[], float],
    wall: Callable[[], datetime],
) -> BatchClient:
    """A client for the batches of *api*. Make it inside a running event loop."""
    return account_batches(api, run_setup.settings.idle_timeout_s, now=now, wall=wall)


def account_batches(
    api: ApiTarget,
    idle_timeout_s: float,
    *,
    now: Callable[[], float],
    wall: Callable[[], datetime],
) -> BatchClient:
    """The same for a command that sends no rows."""
    return ClaudeBatches(
        api_key=api.api_key,
        base_url=api.base_url,
        idle_timeout_s=idle_timeout_s,
        now=now,
        wall=wall,
        secrets=secrets(environment()),
        route=route_to(api.base_url),
    )


def row_failed(error: BatchRowError) -> AttemptError | StopRun:
    """The meaning of *error*, in the results of a batch."""
    return error_table.row_failed(
        error.type, error.message, code=error.code, request_id=error.request_id
    )


def route_to(base_url: str | None) -> NetworkRoute:
    """How requests to *base_url* leave (None: where the SDK sends them); raises
    `ConfigError`. To be called before the SDK is loaded.
    """
    env = environment()
    route = network_route(env, base_url or env.get("ANTHROPIC_BASE_URL"))
    if not route.tls:
        # Opened when aiohttp is loaded, also where nothing is encrypted.
        unset(KEY_LOG)
    return route


def api_model(options: RunOptions, settings: Settings) -> ApiModel:
    """How the API would behave that *options* name, for an estimate of the time."""
    if not options.simulate:
        return ApiModel()
    from claudebatch.simulator import SIMULATE_LATENCY, parse_latency  # noqa: PLC0415

    simulate = settings.simulate
    mean_s = parse_latency(simulate.latency or SIMULATE_LATENCY).mean
    limits = (
        simulate.requests_per_minute,
        simulate.input_tokens_per_minute,
        simulate.output_tokens_per_minute,
    )
    return ApiModel(
        lambda output_tokens: mean_s, simulate.burst_seconds, limits=lambda pool: limits
    )


def batch_pace(options: RunOptions, settings: Settings) -> float:
    """How many times faster than the API's the batches live that *options* name."""
    if not options.simulate:
        return 1.0
    from claudebatch.simulator import parse_batch_time  # noqa: PLC0415

    return parse_batch_time(settings.simulate.batch_time)


def key_scope(options: RunOptions) -> str:
    """What cached answers belong to: the API's version, and the address that answered
    if it is not the API's own.
    """
    return scope_of(None if options.simulate else options.base_url)


def scope_of(base_url: str | None) -> str:
    """The same of an address; None: the API's own."""
    return f"{API_VERSION} {base_url}" if address_of(base_url) else API_VERSION


def _bill(run_setup: RunSetup, model: str, usage: Usage) -> Pico:
    try:
        return run_setup.prices.cost(model, usage)
    except UnknownPrice:
        # A rehearsal costs nothing: a model without a price is no reason to end it.
        return 0
