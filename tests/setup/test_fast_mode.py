"""Fast mode has a pool of its own: its limits and 429s are not those of standard
requests to the same model.
"""

from __future__ import annotations

import asyncio

import pytest

from claudebatch.core.errors import ConfigError
from claudebatch.layers.rate_limit.settings import PoolLimits
from claudebatch.setup.pools import pool_start
from claudebatch.setup.stack import build_stack
from tests.resilience.driver import status_error
from tests.support.parts import make_bench
from tests.support.scripted import ScriptedClient, make_reply
from tests.support.virtual import now, virtual

OPUS, SONNET = "claude-opus-5-5", "claude-sonnet-5-5"


def pool_of(bench, call):
    return bench.parts.catalog.pool_of(call.limited_as)


@virtual
async def test_a_fast_row_has_a_pool_beside_its_models_and_a_hop_leaves_it():
    bench = make_bench(model=OPUS, fallbacks={OPUS: [SONNET]})
    standard, fast = bench.call("a"), bench.call("b", speed="fast")
    assert pool_of(bench, standard) == "opus-5.5"
    assert pool_of(bench, fast) == "opus-5.5-fast"
    hop = bench.run_setup.builder.hop(fast, SONNET)
    assert pool_of(bench, hop) == bench.parts.catalog.pool_of(SONNET)
    assert bench.parts.catalog.pool_of(hop.lane_as) == "opus-5.5-fast", "its worker's lane"


@virtual
async def test_a_fast_rows_429_stops_no_standard_row():
    bench = make_bench(model=OPUS, cached=False)
    sent: list[tuple[float, bool]] = []

    def answer(call, before):
        fast = b'"speed":"fast"' in call.body
        sent.append((now(), fast))
        return status_error(429, retry_after=30.0) if fast and len(sent) < 3 else make_reply()

    stack = build_stack(bench.parts, ScriptedClient(answer))
    calls = [bench.call("fast", row=0, speed="fast")]
    calls += [bench.call(f"{row}", row=row) for row in range(1, 40)]
    await asyncio.gather(*(stack(call) for call in calls))
    assert max(at for at, fast in sent if not fast) < 10
    assert [at for at, fast in sent if fast][1] >= 30


@pytest.mark.parametrize("retry_after", [None, 1.0, 1e9])
@virtual
async def test_a_fast_row_whose_429s_never_pass_goes_to_its_next_model(retry_after):
    bench = make_bench(model=OPUS, fallbacks={OPUS: [SONNET]}, max_outage="60s", cached=False)

    def answer(call, before):
        fast = b'"speed":"fast"' in call.body
        return status_error(429, retry_after=retry_after) if fast else make_reply(model=call.model)

    ended: dict[int, float] = {}

    async def ask(call):
        reply = await stack(call)
        ended[call.row] = now()
        return reply.model

    stack = build_stack(bench.parts, ScriptedClient(answer))
    fast = [bench.call(f"fast {row}", row=row, speed="fast") for row in range(5)]
    standard = [bench.call(f"{row}", row=row) for row in range(5, 40)]
    models = await asyncio.gather(*(ask(call) for call in (*fast, *standard)))
    assert models == [SONNET] * 5 + [OPUS] * 35
    assert max(at for row, at in ended.items() if row >= 5) < 10
    assert max(ended.values()) <= 62


@virtual
async def test_limits_can_be_given_for_it_and_it_begins_like_the_pool_of_its_model():
    limits = {"tier": "scale", "pools": {"opus-5.5-fast": {"requests_per_minute": 7}}}
    bench = make_bench(model=OPUS, limits=limits)
    settings, catalog = bench.parts.settings.limits, bench.parts.catalog
    start = pool_start(settings, catalog, "opus-5.5-fast")
    assert start.allowance == PoolLimits(requests_per_minute=7) and start.ceiling
    bench = make_bench(model=OPUS, limits={"tier": "scale"})
    settings = bench.parts.settings.limits
    fast, standard = (pool_start(settings, catalog, f"opus-5.5{end}") for end in ("-fast", ""))
    assert fast.allowance == standard.allowance


def test_a_misspelt_name_of_it_is_refused():
    with pytest.raises(ConfigError) as refused:
        make_bench(limits={"pools": {"opus_5_5-fast": {"requests_per_minute": 7}}})
    assert refused.value.fix == 'did you mean "opus-5.5-fast"?'
