"""RateLimit: every attempt waits for its pool's pace, and a 429 that comes all the same pauses the whole pool."""

from __future__ import annotations

import asyncio
import random

import pytest

from claudebatch.config.schema import PoolLimits
from claudebatch.domain import Call, LimitReading, Limits, Reply, Size
from claudebatch.drain import Drain
from claudebatch.errors import AttemptError, Draining
from claudebatch.events import Event, Waiting
from claudebatch.layers.rate_limit import RateLimit
from claudebatch.stores.pool import LocalPool
from tests.support.cancellation import cuts
from tests.support.scripted import (
    HAIKU,
    OPUS,
    ScriptedClient,
    bad_request,
    make_call,
    make_reply,
    overloaded,
    rate_limited,
    timed_out,
)
from tests.support.virtual import now, settled, virtual

TOKENS = Size(input_tokens=1000, input_bound=5000, output_tokens=500, output_bound=8000)


class Limiter:
    """A layer over real pools with the same limits."""

    def __init__(
        self, *, rpm: float | None = None, itpm: float | None = None, otpm: float | None = None, slots: int = 64
    ):
        self.drain = Drain()
        self.events: list[Event] = []
        allowance = PoolLimits(
            requests_per_minute=rpm, input_tokens_per_minute=itpm, output_tokens_per_minute=otpm
        )  # fmt: skip
        self.pools = {model: LocalPool(model, allowance, concurrency=slots, now=now) for model in (HAIKU, OPUS)}
        self.layer = RateLimit(
            pool_of=self.pools.__getitem__,
            waits=self.drain,
            max_pause_s=600,
            rng=random.Random(1),
            emit=self.events.append,
        )

    async def send(self, client: ScriptedClient, row: int = 1, model: str = HAIKU, size: Size = TOKENS) -> Reply:
        return await self.layer(make_call(row=row, model=model, size=size), client)

    async def send_all(self, client: ScriptedClient, rows: int, model: str = HAIKU) -> list[Reply | BaseException]:
        return await asyncio.gather(*(self.send(client, row, model) for row in range(rows)), return_exceptions=True)

    def told(self, reason: str) -> list[Waiting]:
        return [event for event in self.events if isinstance(event, Waiting) and event.reason == reason]


# Pace


@virtual
async def test_requests_leave_at_the_pools_pace_from_the_first_one_on():
    client = ScriptedClient()
    await Limiter(rpm=60).send_all(client, 30)
    assert client.times == pytest.approx(range(30))


@virtual
async def test_input_tokens_leave_at_the_pools_pace():
    limiter, client = Limiter(itpm=60_000), ScriptedClient(lambda call, before: used(1000, 500))
    await limiter.send_all(client, 20)
    assert client.times == pytest.approx(range(1, 21)), "the bucket starts empty: 1,000 tokens a second"
    assert limiter.told("input tokens per minute")


@virtual
async def test_output_tokens_leave_at_the_pools_pace():
    limiter, client = Limiter(otpm=30_000), ScriptedClient(lambda call, before: used(1000, 500))
    await limiter.send_all(client, 20)
    assert client.times == pytest.approx(range(1, 21))
    assert limiter.told("output tokens per minute")


@virtual
async def test_pools_do_not_wait_for_each_other():
    limiter, client = Limiter(rpm=60), ScriptedClient()
    await asyncio.gather(limiter.send_all(client, 30, HAIKU), limiter.send_all(client, 30, OPUS))
    assert now() == pytest.approx(29)


@virtual
async def test_no_more_are_in_flight_than_there_are_slots():
    limiter, client = Limiter(slots=3), ScriptedClient(takes_s=1)
    await limiter.send_all(client, 10)
    assert (client.most_in_flight, now()) == (3, 4)


@virtual
async def test_without_limits_nothing_waits():
    client = ScriptedClient()
    await Limiter().send_all(client, 60)
    assert now() == 0


# Settling


def used(input_tokens: int, output_tokens: int, **more: int) -> Reply:
    return make_reply(usage={"input_tokens": input_tokens, "output_tokens": output_tokens, **more})


@virtual
async def test_tokens_that_were_not_used_are_given_back():
    limiter = Limiter(itpm=60_000)
    client = ScriptedClient([used(0, 0, cache_read_input_tokens=1000)])
    await limiter.send(client)
    await limiter.send(client)
    assert client.times == pytest.approx([1, 1]), "cache reads are free"


@virtual
async def test_tokens_used_beyond_the_estimate_are_paid_by_the_next():
    limiter, client = Limiter(itpm=60_000), ScriptedClient([used(4000, 0)])
    await limiter.send(client)
    await limiter.send(client)
    assert client.times == pytest.approx([1, 5])


@pytest.mark.parametrize(
    ("make", "second_at"),
    [(overloaded, 1), (bad_request, 1), (timed_out, 2)],
    ids=["529: not counted", "400: not counted", "timeout: may have been"],
)
@virtual
async def test_what_was_surely_not_counted_is_given_back(make, second_at):
    limiter, client = Limiter(itpm=60_000), ScriptedClient([make()])
    with pytest.raises(AttemptError):
        await limiter.send(client)
    await limiter.send(client)
    assert client.times == pytest.approx([1, second_at])


@virtual
async def test_the_limits_that_answers_state_are_taken_over():
    limiter = Limiter(rpm=600, itpm=600_000)
    stated = Limits(requests=LimitReading(60), input_tokens=LimitReading(30_000))
    client = ScriptedClient([make_reply(limits=stated, usage={"input_tokens": 1000})])
    await limiter.send(client)
    await limiter.send_all(client, 5)
    gaps = [b - a for a, b in zip(client.times[1:], client.times[2:], strict=False)]
    assert gaps == pytest.approx([2] * 4), "1,000 tokens each at 30,000 a minute"


# 429


@pytest.mark.parametrize(("retry_after", "pause_s"), [(20.0, 20), (0.5, 0.5), (None, 5), (0.0, 5)])
@virtual
async def test_a_429_pauses_the_whole_pool_for_as_long_as_asked(retry_after, pause_s):
    limiter, client = Limiter(), ScriptedClient([rate_limited(retry_after)])
    with pytest.raises(AttemptError):
        await limiter.send(client)
    await asyncio.gather(limiter.send_all(client, 5), limiter.send(client, model=OPUS))
    assert client.to(OPUS)[0].at == 0, "other pools go on"
    times = [sent.at for sent in client.to(HAIKU)][1:]
    assert all(pause_s <= at <= pause_s * 1.1 + 1e-6 for at in times)


@virtual
async def test_nothing_leaves_during_a_pause_not_even_what_was_already_in_the_queue():
    limiter = Limiter(rpm=60)
    client = ScriptedClient(lambda call, before: rate_limited(30.0) if before == 3 else None)
    await limiter.send_all(client, 20)
    assert client.times[:4] == pytest.approx([0, 1, 2, 3])
    assert client.times[4] >= 33
    assert [b - a for a, b in zip(client.times[4:], client.times[5:], strict=False)] == pytest.approx([1] * 15)


@virtual
async def test_a_longer_pause_that_comes_later_counts():
    limiter = Limiter()
    client = ScriptedClient([rate_limited(5.0), rate_limited(60.0)], takes_s=1)
    await limiter.send_all(client, 2)
    await limiter.send(client)
    assert client.times[2] >= 61


@virtual
async def test_no_pause_is_longer_than_the_longest_wait_allowed():
    limiter, client = Limiter(), ScriptedClient([rate_limited(10.0**9)])
    await limiter.send_all(client, 1)
    await limiter.send(client)
    assert 600 <= client.times[1] <= 660


@virtual
async def test_waits_worth_telling_are_told():
    limiter, client = Limiter(rpm=600), ScriptedClient([rate_limited(20.0)])
    await limiter.send_all(client, 1)
    await limiter.send(client)
    assert [event.pool for event in limiter.told("rate limited")] == [HAIKU]
    assert limiter.events and all(isinstance(e, Waiting) and e.seconds >= 1 for e in limiter.events)


# Ends


@virtual
async def test_a_drain_ends_every_wait_at_once():
    limiter = Limiter(rpm=60, itpm=6_000, slots=2)
    client = ScriptedClient(takes_s=1000)
    paced = asyncio.ensure_future(Limiter.send_all(limiter, client, 20))
    await asyncio.sleep(50)
    in_flight = client.in_flight
    limiter.drain.start("interrupted")
    await settled(20)
    assert not paced.done() and client.in_flight == in_flight, "what is in flight is left alone"
    results = await paced
    assert sum(isinstance(result, Draining) for result in results) == 20 - in_flight
    assert len(client.sent) == in_flight
    with pytest.raises(Draining):
        await limiter.send(client)


@pytest.mark.parametrize("limits", [{"slots": 1}, {"rpm": 6}, {"itpm": 6000}], ids=str)
@virtual
async def test_a_drain_ends_the_wait_for(limits):
    limiter, client = Limiter(**limits), ScriptedClient(takes_s=60)
    first = asyncio.ensure_future(limiter.send(client))
    await asyncio.sleep(15)
    second = asyncio.ensure_future(limiter.send(client, size=Size(5000, 5000, 0, 0)))
    third = asyncio.ensure_future(limiter.send(client, size=Size(5000, 5000, 0, 0)))
    await asyncio.sleep(0.001)
    limiter.drain.start("interrupted")
    results = await asyncio.gather(first, second, third, return_exceptions=True)
    assert isinstance(results[0], Reply)
    assert isinstance(results[2], Draining)


@pytest.mark.parametrize(
    "limits",
    [{"slots": 1}, {"rpm": 60, "slots": 2}, {"itpm": 60_000, "slots": 2}, {"rpm": 60, "itpm": 60_000, "slots": 1}],
    ids=str,
)
@virtual
async def test_cancelled_at_any_moment_no_slot_is_lost(limits):
    reached = 0
    for cut in cuts():
        limiter, client = Limiter(**limits), ScriptedClient(takes_s=1)
        others = [asyncio.ensure_future(limiter.send(client, row)) for row in range(limits["slots"])]
        await settled()
        result = await cut.run(limiter.send(client, 99))
        assert isinstance(result, asyncio.CancelledError) is cut.reached, cut
        await asyncio.gather(*others)
        await settled()
        slots = limiter.pools[HAIKU].slots
        assert slots._value == limits["slots"], cut
        await asyncio.wait_for(limiter.send_all(client, 10), 60)
        reached += cut.reached
    assert reached >= 4


@virtual
async def test_tokens_of_what_was_called_off_while_waiting_are_given_back():
    limiter, client = Limiter(itpm=60_000), ScriptedClient(lambda call, before: used(1000, 0))
    waiting = [asyncio.ensure_future(limiter.send(client, row)) for row in range(10)]
    await asyncio.sleep(0.5)
    for task in waiting:
        task.cancel()
    await settled()
    await limiter.send(client)
    assert client.times == pytest.approx([1])


@virtual
async def test_a_thousand_mixed_calls_leave_the_limiter_as_it_was():
    limiter, rng = Limiter(rpm=6000, itpm=10**7, slots=8), random.Random(5)

    def script(call: Call, before: int) -> Exception | None:
        return rng.choice([None, None, overloaded(), timed_out(), bad_request(), rate_limited(1.0)])

    client = ScriptedClient(script, takes_s=0.3)
    tasks = [asyncio.ensure_future(limiter.send(client, row)) for row in range(1000)]
    while not all(task.done() for task in tasks):
        rng.choice(tasks).cancel()
        await asyncio.sleep(0.05)
    await settled()
    assert limiter.pools[HAIKU].slots._value == 8
    assert client.most_in_flight <= 8
