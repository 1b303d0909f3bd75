"""RateLimit: every attempt waits for its pool's pace, and a 429 that comes all the same pauses the whole pool."""

from __future__ import annotations

import asyncio

import pytest

from claudebatch.domain import LimitReading, Limits
from claudebatch.errors import AttemptError
from claudebatch.events import Waiting
from tests.support.limiting import Limiter, used
from tests.support.scripted import (
    HAIKU,
    OPUS,
    ScriptedClient,
    bad_request,
    make_reply,
    overloaded,
    rate_limited,
    timed_out,
)
from tests.support.virtual import now, virtual

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
