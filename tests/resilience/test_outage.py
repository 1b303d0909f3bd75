"""R12, R13: an API that is gone is left alone, asked now and then, and waited for."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from claudebatch.core.domain import Call
from claudebatch.core.errors import ExitCode
from claudebatch.core.events import BreakerChanged, Retrying, Waiting
from claudebatch.layers.circuit_breaker import layer as breaker_layer
from tests.resilience.driver import Fate, Happening, latency, refused, reset, run, status_error
from tests.support.scripted import OPUS, SONNET
from tests.support.virtual import now, virtual

GOES_DOWN_AT = 100.0
KINDS: dict[str, Callable[[], Exception]] = {
    "refused, no name, no trust": refused,
    "529": lambda: status_error(529),
    "500": lambda: status_error(500),
    "reset": reset,
}


def down(
    make: Callable[[], Exception],
    since: float,
    until: float = float("inf"),
    *,
    takes_s: float = 0.3,
) -> Fate:
    """Serves, but for the time between *since* and *until*."""
    rng = random.Random(5)

    def fate(call: Call, before: int, at: float) -> Happening:
        return (
            (takes_s * (0.5 + rng.random()), make())
            if since <= at < until
            else (latency(rng, 2.0), None)
        )

    return fate


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When breakers opened."""
    found: list[float] = []

    def note(pool: str, state: str) -> BreakerChanged:
        if state == "open":
            found.append(now())
        return BreakerChanged(pool, state)

    monkeypatch.setattr(breaker_layer, "BreakerChanged", note)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "since",
    [
        pytest.param(0.0, id="from the start"),
        pytest.param(GOES_DOWN_AT, id="after good times"),
    ],
)
@pytest.mark.parametrize(
    ("limits", "workers"), [({"tier": "none"}, 64), ({"tier": "start"}, 64), ({"tier": "none"}, 5)]
)
def test_an_outage_without_an_end_gets_few_requests_and_costs_no_row(
    openings, kind, since, limits, workers
):
    # A thousand rows that wait make ten thousand turns a minute: not every kind of
    # outage needs as many, nor every place the whole quarter of an hour.
    first = kind == next(iter(KINDS))
    minutes = 15 if first and workers == 5 else 5
    rows = 50_000 if first else int(since) * workers + 300

    @virtual
    async def outage() -> None:
        ran = await run(
            rows,
            down(KINDS[kind], since),
            workers=workers,
            limits=limits,
            max_outage=f"{minutes}m",
        )
        sent = [at for at in ran.api.times if at >= since]
        opened_at = openings[0]
        assert len([at for at in sent if at <= opened_at]) <= 20 + workers
        failed = [at for came_at, at in ran.api.went if came_at >= since and at <= opened_at]
        assert opened_at - since <= 5 or len(failed) <= 20
        probes = [at for at in sent if at > opened_at + 5]
        assert min(gaps(probes)) >= 10, "one in ten seconds, and never two at once"
        assert len(sent) <= 20 + workers + 6 * minutes
        assert ran.failed == []
        assert ran.ended.stop is not None and ran.ended.stop.exit_code == ExitCode.UNAVAILABLE
        last_answer = max((at for came_at, at in ran.api.went if came_at < since), default=since)
        lasted_s = ran.wall_s - last_answer
        assert 60 * minutes - 5 <= lasted_s <= 60 * minutes + 2, "counted from the last answer"

    outage()


@virtual
async def test_when_it_is_over_everything_goes_on_and_nobody_has_to_do_anything():
    ran = await run(2000, down(refused, 20.0, 320.0))
    assert (len(ran.succeeded), ran.failed, ran.ended.stop) == (2000, [], None)
    back = [at for at in ran.api.times if at >= 320.0]
    assert back[0] <= 320 + 15, "a probe comes soon"
    assert ran.states() == ["open"] + ["half-open", "open"] * (ran.states().count("open") - 1) + [
        "half-open",
        "closed",
    ]
    told = [event for event in ran.bench.told(Waiting) if event.reason == "circuit open"]
    assert len(told) == ran.states().count("open") and {
        round(event.seconds, 6) for event in told
    } == {10}


@virtual
async def test_an_api_that_comes_and_goes_loses_no_row():
    rng = random.Random(1)

    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.2, status_error(529)) if int(at / 45) % 2 else (latency(rng, 2.0), None)

    ran = await run(2000, fate)
    assert (len(ran.succeeded), ran.failed) == (2000, [])
    assert len(ran.api.came) <= 1.15 * 2000


@virtual
async def test_rows_with_a_chain_are_answered_by_the_next_model_and_the_first_is_only_probed():
    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.2, status_error(529)) if call.model == OPUS else (2.0, None)

    ran = await run(3000, fate, model=OPUS, fallbacks={OPUS: [SONNET]})
    assert {outcome.reply.model for outcome in ran.succeeded} == {SONNET} and len(
        ran.succeeded
    ) == 3000
    reasons = {outcome.reply.fallback_reason for outcome in ran.succeeded}
    assert reasons <= {"circuit_open", "overloaded_error"}
    opus = [at for at, call in ran.api.came if call.model == OPUS]
    assert len(opus) <= 20 + 64 + ran.wall_s / 10


@virtual
async def test_an_overloaded_model_hands_rows_over_when_its_retries_stand_in_line_and_drops_none():
    rng = random.Random(2)

    def fate(call: Call, before: int, at: float) -> Happening:
        fails = call.model == OPUS and rng.random() < 0.25
        return (0.2, status_error(529)) if fails else (2.0, None)

    ran = await run(3000, fate, model=OPUS, fallbacks={OPUS: [SONNET]})
    assert len(ran.succeeded) == 3000
    models = [outcome.reply.model for outcome in ran.succeeded]
    assert models.count(SONNET) > 100 and models.count(OPUS) > 2000
    assert ran.states() == [], "a quarter is no outage, and that failures are quick makes it none"
    answered = models.count(OPUS)
    retries = len(ran.bench.told(Retrying))
    assert retries <= 10 + 0.2 * answered + 1.0 * ran.wall_s + 64


@virtual
async def test_without_a_chain_the_rows_wait_in_line_and_none_is_dropped():
    rng = random.Random(2)

    def fate(call: Call, before: int, at: float) -> Happening:
        return (0.2, status_error(529)) if rng.random() < 0.25 else (2.0, None)

    ran = await run(1000, fate)
    assert (len(ran.succeeded), ran.failed) == (1000, [])
    assert {event.reason for event in ran.bench.told(Waiting)} >= {"retry budget"}
