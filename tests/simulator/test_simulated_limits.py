"""Limits are token buckets per pool, and the headers tell what is in them."""

from __future__ import annotations

import asyncio
import random

import pytest

from claudebatch.core.errors import ConfigError
from claudebatch.simulator import SimulatedAllowance, SimulatorSettings
from claudebatch.simulator.limits import SimulatedBucket

TWELVE = {
    f"anthropic-ratelimit-{what}-{part}"
    for what in ("requests", "tokens", "input-tokens", "output-tokens")
    for part in ("limit", "remaining", "reset")
}


def limit_headers(heard):
    return {
        name: value
        for name, value in heard.headers.items()
        if name.startswith("anthropic-ratelimit")
    }


async def test_the_request_above_the_allowance_gets_a_429_that_says_when_to_come_back(serve, body):
    served = await serve(limits=SimulatedAllowance(rpm=60, burst_seconds=2))
    heard = [await served.ask(body(str(n))) for n in range(3)]
    assert [h.status for h in heard] == [200, 200, 429]
    refused = heard[2]
    assert refused.json["error"]["type"] == "rate_limit_error"
    assert "60 requests per minute" in refused.json["error"]["message"]
    assert (refused.headers["retry-after"], refused.headers["x-should-retry"]) == ("1", "true")
    stats = served.simulator.stats()
    assert (stats["rate_limited"], stats["by_status"]) == (1, {"200": 2, "429": 1})
    served.now.seconds += 1
    assert (await served.ask(body("again"))).status == 200


async def test_fast_mode_has_buckets_and_headers_of_its_own(serve, body):
    served = await serve(limits=SimulatedAllowance(rpm=60, itpm=120_000, burst_seconds=1))
    ask = {"model": "claude-opus-5-5", "speed": "fast"}
    first, refused = [await served.ask(body(str(n), **ask)) for n in range(2)]
    standard = await served.ask(body("standard", model="claude-opus-5-5"))
    assert [heard.status for heard in (first, refused, standard)] == [200, 429, 200]
    for heard in (first, refused):
        told = {name for name in heard.headers if name.startswith("anthropic-")}
        assert {f"anthropic-fast-input-tokens-{part}" for part in ("limit", "remaining")} <= told
        assert limit_headers(heard) == {}
    assert "anthropic-fast-input-tokens-limit" not in standard.headers


async def test_all_twelve_headers_are_on_every_200_and_429(serve, body):
    served = await serve(
        limits=SimulatedAllowance(rpm=60, itpm=120_000, otpm=60_000, burst_seconds=1)
    )
    answered, refused = await served.ask(body("x" * 2600)), await served.ask(body())
    assert (answered.status, refused.status) == (200, 429)
    assert limit_headers(answered).keys() == limit_headers(refused).keys() == TWELVE
    told = limit_headers(answered)
    assert told["anthropic-ratelimit-requests-limit"] == "60"
    assert told["anthropic-ratelimit-requests-remaining"] == "0"
    assert told["anthropic-ratelimit-requests-reset"] == "2026-11-22T12:00:01Z"
    assert told["anthropic-ratelimit-input-tokens-limit"] == "120000"
    assert told["anthropic-ratelimit-input-tokens-remaining"] == "1000"
    assert told["anthropic-ratelimit-output-tokens-remaining"] == "1000"
    assert told["anthropic-ratelimit-tokens-limit"] == "180000"
    assert told["anthropic-ratelimit-tokens-remaining"] == "2000"


async def test_without_limits_or_when_stripped_no_header_tells_of_them(serve, body):
    free = await serve()
    stripped = await serve(limits=SimulatedAllowance(rpm=60, burst_seconds=1), strip_headers=True)
    assert limit_headers(await free.ask(body())) == {}
    heard = [await stripped.ask(body(str(n))) for n in range(2)]
    assert [h.status for h in heard] == [200, 429]
    assert [limit_headers(h) for h in heard] == [{}, {}]
    assert heard[1].headers["retry-after"] == "1"


async def test_a_429_can_come_without_retry_after(serve, body):
    served = await serve(limits=SimulatedAllowance(rpm=1), retry_after=False, script=("429",))
    heard = [await served.ask(body(str(n))) for n in range(3)]
    assert [h.status for h in heard] == [429, 200, 429]
    assert not any("retry-after" in h.headers for h in heard)


async def test_input_is_charged_by_estimate_and_corrected_for_what_the_prompt_cache_gave(
    serve, body
):
    served = await serve(limits=SimulatedAllowance(itpm=2_100))
    system = [{"type": "text", "text": "r" * 2_600, "cache_control": {"type": "ephemeral"}}]
    usages = [(await served.ask(body(str(n), system=system))).json["usage"] for n in range(20)]
    # Twenty prompts of a thousand tokens pass a limit of two thousand: nineteen of them
    # were read from the cache.
    assert sum(u["cache_read_input_tokens"] for u in usages) > 18_000
    refused = await served.ask(body("x" * 3_900))
    assert refused.status == 429
    assert "2,100 input tokens per minute" in refused.json["error"]["message"]


async def test_a_prompt_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_off_afterwards(
    serve, body
):
    served = await serve(limits=SimulatedAllowance(itpm=600, burst_seconds=1))
    assert (await served.ask(body("x" * 2_600))).status == 200
    refused = await served.ask(body("y"))
    assert refused.status == 429
    wait_s = int(refused.headers["retry-after"])
    assert 90 < wait_s < 110
    served.now.seconds += wait_s
    assert (await served.ask(body("y"))).status == 200


async def test_output_is_charged_as_it_is_produced_and_max_tokens_does_not_count(serve, body):
    served = await serve(limits=SimulatedAllowance(otpm=100))
    prompt = "[[simulate: tokens 300]]"
    assert (await served.ask(body(prompt, max_tokens=50_000))).status == 200
    refused = await served.ask(body(prompt))
    assert refused.status == 429
    assert "output tokens" in refused.json["error"]["message"]
    assert int(refused.headers["retry-after"]) == 121
    served.now.seconds += 121
    assert (await served.ask(body(prompt))).status == 200


def test_output_counts_while_it_is_produced_and_the_bucket_is_never_fuller_than_full_meanwhile():
    bucket = SimulatedBucket(600, 5, now=0.0)
    bucket.drain(100, 20, 0.0)
    assert bucket.level(10.0) == 50, "five a second go, ten come"
    bucket.drain(200, 5, 10.0)
    assert bucket.level(15.0) == pytest.approx(50 - 5 * 35)
    bucket.drain(40, 0, 15.0)
    assert bucket.level(15.0) == pytest.approx(-165)
    assert bucket.level(20.0) == pytest.approx(-165 + 5 * 5), "the first one ends at 20"
    assert bucket.level(30.0) == pytest.approx(-40)
    assert bucket.level(1000.0) == 50
    later = SimulatedBucket(600, 5, now=0.0)
    later.drain(100, 20, 0.0)
    later.drain(200, 5, 10.0)
    later.take(40, 15.0)
    assert later.level(30.0) == pytest.approx(-40), "however seldom one looks"


@pytest.mark.parametrize(("at_end", "wait_s"), [(False, 16), (True, 26)])
async def test_output_counts_in_real_time_or_all_at_once_at_the_end(serve, body, at_end, wait_s):
    async def sleep(seconds):
        served.now.seconds += seconds

    served = await serve(
        limits=SimulatedAllowance(otpm=600, burst_seconds=5, output_at_end=at_end),
        latency="fixed:10",
        sleep=sleep,
    )
    assert (await served.ask(body("[[simulate: tokens 300]]"))).status == 200
    refused = await served.ask(body())
    # 300 less 100 that were refilled meanwhile; or a full bucket's refill was lost, and
    # 300 come at once.
    assert (refused.status, int(refused.headers["retry-after"])) == (429, wait_s)


async def test_models_of_one_pool_share_a_limit_and_others_do_not(serve, body):
    served = await serve(
        limits=SimulatedAllowance(rpm=1),
        pool_limits={"claude-sonnet": SimulatedAllowance()},
    )
    models = (
        "claude-haiku-4-5",
        "claude-haiku-5-5",
        "claude-opus-5-5",
        "claude-sonnet-5-5",
        "claude-sonnet-4-6",
    )
    assert [(await served.ask(body(model=m))).status for m in models] == [200, 429, 200, 200, 200]


async def test_more_requests_in_flight_than_allowed_get_a_429(serve, body, raw, hear):
    served = await serve(max_concurrency=1, script=("hang",))
    _, writer = await served.open()
    writer.write(raw("POST", "/v1/messages", body()))
    await served.until(lambda: served.simulator.stats()["faults"].get("hang") == 1)
    heard = await served.ask(body("second"))
    assert (heard.status, heard.headers["retry-after"]) == (429, "1")
    assert "concurrent" in heard.json["error"]["message"]
    assert served.simulator.stats()["max_in_flight"] == 2


async def test_no_run_of_requests_passes_more_than_the_burst_and_what_was_refilled(serve, body):
    """A few hundred requests at random moments, on one connection's worth of simulated
    minutes.
    """
    rng = random.Random(3)
    served = await serve(limits=SimulatedAllowance(rpm=120, burst_seconds=5))
    start, passed = served.now.seconds, 0
    for _ in range(300):
        served.now.seconds += rng.expovariate(4)
        passed += (await served.ask(body())).status == 200
        assert passed <= 10 + 2 * (served.now.seconds - start) + 1e-6
    assert passed >= 2 * (served.now.seconds - start) - 10


def test_a_bucket_that_was_refilled_to_just_under_one_lets_the_request_through():
    bucket = SimulatedBucket(60, 1, now=0.0)
    for second in range(1, 1000):
        bucket.take(1, second * 0.1 * 10)
        assert bucket.wait_for(1, (second + 1) * 0.1 * 10) == 0.0


@pytest.mark.parametrize(
    "wrong", [{"rpm": 0}, {"itpm": -1}, {"burst_seconds": 0}, {"burst_seconds": float("nan")}]
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        SimulatedAllowance(**wrong)
    with pytest.raises(ConfigError):
        SimulatorSettings(max_concurrency=0)


async def test_a_request_that_is_refused_takes_nothing(serve, body):
    served = await serve(limits=SimulatedAllowance(rpm=60, itpm=60_000, burst_seconds=1))
    await served.ask(body())
    for _ in range(50):
        assert (await served.ask(body("x" * 1_000))).status == 429
    served.now.seconds += 1
    assert (await served.ask(body())).status == 200
    await asyncio.sleep(0)
