"""Durations: the time that a dry run tells is the time that the run takes, within 5 %,
and its reason is the reason.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest

from claudebatch.core.domain import Call, Prompt, Route, Size
from claudebatch.estimate.duration import ApiModel, Duration, Durations, usual_latency
from claudebatch.layers.rate_limit.settings import RateLimitSettings
from claudebatch.models.catalog import Catalog
from claudebatch.simulator.latency import parse_latency
from tests.scenarios.play import play
from tests.scenarios.scenario import Case, Rows, Server
from tests.support.scripted import HAIKU, OPUS
from tests.support.settings import settings_of

POOL = "haiku-5.5"


def call(model: str = HAIKU, inputs: int = 100, outputs: int = 100) -> Call:
    return Call(
        0,
        Prompt("", {}),
        Route(model, "default"),
        model,
        b"",
        Size(inputs, inputs, outputs, outputs),
    )


def told(config: dict[str, object], rows: list[Call], api: ApiModel) -> Duration:
    durations = Durations(settings_of(**config).limits, Catalog.load(), api)
    for row in rows:
        durations.add(row)
    found = durations.longest()
    assert found is not None
    return found


def limits(server: Server) -> dict[str, int]:
    named = {
        "requests_per_minute": server.rpm,
        "input_tokens_per_minute": server.itpm,
        "output_tokens_per_minute": server.otpm,
    }
    return {name: limit for name, limit in named.items() if limit}


CASES: dict[str, tuple[Server, Rows, dict[str, object], str | None]] = {
    "requests, whole minute saved up": (
        Server(rpm=600, latency="fixed:2"),
        Rows(count=2000),
        {},
        "requests per minute",
    ),
    "requests, five seconds": (
        Server(rpm=300, burst_s=5, latency="lognormal:2,0.5"),
        Rows(count=1000),
        {},
        "requests per minute",
    ),
    "input": (
        Server(itpm=300_000, burst_s=5, latency="fixed:2"),
        Rows(count=400, input="lognormal:2000,0.4"),
        {},
        "input tokens per minute",
    ),
    "output": (
        Server(otpm=400_000, burst_s=60, latency="fixed:3"),
        Rows(count=2000, output="fixed:400"),
        {},
        "output tokens per minute",
    ),
    "output, one second": (
        Server(otpm=400_000, burst_s=1, latency="fixed:3"),
        Rows(count=2000, output="fixed:400"),
        {},
        "output tokens per minute",
    ),
    "output, one second, long answers": (
        Server(otpm=100_000, burst_s=1, latency="fixed:20"),
        Rows(count=400, output="fixed:800"),
        {},
        "output tokens per minute",
    ),
    "nothing but answers": (
        Server(rpm=1000, latency="fixed:5"),
        Rows(count=20),
        {"concurrency": 64},
        None,
    ),
    "few at once": (
        Server(rpm=10_000, latency="fixed:2"),
        Rows(count=600),
        {"concurrency": 8},
        "requests in flight",
    ),
    "nothing configured": (
        Server(rpm=300, burst_s=60, latency="fixed:2"),
        Rows(count=1000),
        {"limits": {"tier": "auto"}},
        "requests per minute",
    ),
    "a part left to others": (
        Server(rpm=600, burst_s=1, latency="fixed:1"),
        Rows(count=1500),
        {"limits": {"headroom": "20%"}},
        "requests per minute",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_takes_as_long_as_the_dry_run_says(case: str):
    server, rows, client, reason = CASES[case]
    told_limits: dict[str, object] = {"tier": "none", "pools": {POOL: limits(server)}}
    chosen = {**told_limits, **client.get("limits", {})} if "limits" in client else told_limits  # type: ignore[dict-item]
    if client.get("limits") == {"tier": "auto"}:
        chosen = {"tier": "auto"}
    config = {**client, "model": HAIKU, "limits": chosen}
    played = play(Case(case, server, rows, {**client, "limits": chosen}, {}))
    sizes = rows_like(rows, played.rows)
    mean_s = parse_latency(server.latency).mean
    api = ApiModel(
        lambda _: mean_s, server.burst_s, 0.0, lambda _: (server.rpm, server.itpm, server.otpm)
    )
    found = told(config, sizes, api)
    assert found.seconds == pytest.approx(played.took_s, rel=0.05)
    assert (found.pool, found.reason) == (POOL, reason)


def rows_like(rows: Rows, count: int) -> list[Call]:
    """As many rows, each of the mean size: a dry run knows no more of outputs, and sums
    of inputs are what counts.
    """
    inputs, outputs = parse_latency(rows.input).mean, parse_latency(rows.output).mean
    return [call(inputs=round(inputs), outputs=round(outputs)) for _ in range(count)]


def test_lanes_do_not_wait_for_each_other_and_the_slowest_one_counts():
    pools = {"haiku-5.5": {"requests_per_minute": 600}, "opus-5.5": {"requests_per_minute": 60}}
    config = {"limits": {"tier": "none", "pools": pools}}
    api = ApiModel(lambda _: 1.0, burst_s=1.0, start_s=0.0)
    both = told(config, [call(), call(OPUS)] * 200, api)
    alone = told(config, [call(OPUS)] * 200, api)
    assert (
        both == alone and both.pool == "opus-5.5" and both.seconds == pytest.approx(200, rel=0.05)
    )


def test_what_comes_after_the_first_rows_goes_on_as_they_did():
    config = {"limits": {"tier": "none", "pools": {POOL: {"requests_per_minute": 60_000}}}}
    found = told(config, [call()] * 100_000, ApiModel(lambda _: 0.5, burst_s=1.0, start_s=0.0))
    assert found.seconds == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize(("per_minute", "rows"), [(6000, 15_000), (1200, 40_000)])
def test_a_minute_that_was_saved_up_is_not_taken_for_the_pace(per_minute, rows):
    config = {"limits": {"tier": "none", "pools": {POOL: {"requests_per_minute": per_minute}}}}
    found = told(config, [call()] * rows, ApiModel(lambda _: 0.5, burst_s=60.0, start_s=0.0))
    assert found.seconds == pytest.approx((rows - per_minute) * 60 / per_minute, rel=0.02)


def test_nothing_to_send_takes_no_time():
    assert Durations(RateLimitSettings(), Catalog.load(), ApiModel()).longest() is None


def test_without_anything_better_an_answer_takes_a_second_and_sixty_tokens_a_second():
    assert usual_latency(600) == 11.0
    slow = [replace(call(), size=Size(10, 10, 6000, 6000))]
    assert told({"limits": {"tier": "none"}}, slow, ApiModel(start_s=0.0)).seconds == pytest.approx(
        101
    )


def test_means_of_the_simulators_latencies_are_what_they_draw():
    import random

    rng = random.Random(1)
    for text in ("fixed:2", "uniform:1,3", "lognormal:1,0.5"):
        latency = parse_latency(text)
        assert fmean(latency.draw(rng) for _ in range(20_000)) == pytest.approx(
            latency.mean, rel=0.02
        )


def test_a_headroom_is_taken_off_the_limits_once():
    rows = [call(outputs=500)] * 1000
    tenth = {
        "requests_per_minute": 100,
        "input_tokens_per_minute": 200_000,
        "output_tokens_per_minute": 40_000,
    }
    lower = told({"limits": {"tier": "none", "pools": {POOL: tenth}}}, rows, ApiModel())
    found = told({"limits": {"tier": "start", "headroom": "90%"}}, rows, ApiModel())
    assert found.seconds == pytest.approx(lower.seconds, rel=0.15)


def test_next_to_no_limit_is_told_in_centuries_and_not_driven_for_ever():
    config = {"limits": {"tier": "none", "pools": {POOL: {"requests_per_minute": 1e-7}}}}
    assert told(config, [call()] * 100, ApiModel(burst_s=1.0)).seconds == pytest.approx(
        99 * 60 / 1e-7, rel=0.05
    )
