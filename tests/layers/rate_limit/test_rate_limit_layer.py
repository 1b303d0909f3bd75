"""RateLimit: the requests of a pool leave one after the other, each when all limits
allow it.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from claudebatch.core.domain import Call, PromptTokens, Reply, Size, Usage
from claudebatch.core.errors import AttemptError
from claudebatch.core.events import ConcurrencyChanged, LimitsSeen
from claudebatch.core.limit_headers import LimitReading, Limits
from claudebatch.layers.rate_limit.booking import ExpectedUsage
from tests.support.limiting import AsStated, Limiter, used
from tests.support.scripted import (
    HAIKU,
    OPUS,
    ScriptedClient,
    bad_request,
    make_reply,
    overloaded,
    timed_out,
)
from tests.support.virtual import now, virtual

BLIND = 0.985
"""The pace where no header shows the distance to the API's own bucket."""
RESTED_S = 1.0
"""Then a bucket holds what may be saved up without headers."""


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


# Pace


@virtual
async def test_requests_leave_at_the_pools_pace_from_the_first_one_on():
    client = ScriptedClient()
    await Limiter(rpm=60).send_all(client, 30)
    assert client.times[0] == 0
    assert gaps(client.times) == pytest.approx([1 / BLIND] * 29, abs=0.1)


@pytest.mark.parametrize("limit", ["itpm", "otpm"])
@virtual
async def test_tokens_leave_at_the_pools_pace(limit: str):
    per_minute, reason = {
        "itpm": (60_000, "input tokens per minute"),
        "otpm": (30_000, "output tokens per minute"),
    }[limit]
    limiter, client = (
        Limiter(**{limit: per_minute}),
        ScriptedClient(lambda call, before: used(1000, 500)),
    )
    await limiter.send_all(client, 20)
    assert client.times[0] == 0, "an account that was idle has full buckets"
    assert client.times[1] >= 1.4 / BLIND, "and ours starts empty"
    assert gaps(client.times[1:]) == pytest.approx([1 / BLIND] * 18, abs=0.1)
    assert limiter.told(reason)


@virtual
async def test_pools_do_not_wait_for_each_other():
    limiter, client = Limiter(rpm=60), ScriptedClient()
    await asyncio.gather(limiter.send_all(client, 30, HAIKU), limiter.send_all(client, 30, OPUS))
    assert now() == pytest.approx(29 / BLIND, rel=0.01)


@virtual
async def test_no_more_are_in_flight_than_there_are_slots_and_an_answer_lets_the_next_go_at_once():
    limiter, client = Limiter(slots=3), ScriptedClient(takes_s=1)
    await limiter.send_all(client, 10)
    assert (client.most_in_flight, now()) == (3, 4)
    assert {told.seconds for told in limiter.told("requests in flight")} == {60.0}


@virtual
async def test_more_are_in_flight_when_all_are_busy():
    limiter, client = Limiter(slots=2, most=100), ScriptedClient(takes_s=1)
    await limiter.send_all(client, 200)
    assert client.most_in_flight > 30
    limits = [
        event.limit
        for event in limiter.events
        if isinstance(event, ConcurrencyChanged) and event.pool == HAIKU
    ]
    assert limits == sorted(limits) and limits[0] == 2


@virtual
async def test_without_limits_nothing_waits_after_the_start():
    limiter, client = Limiter(), ScriptedClient()
    await asyncio.sleep(5)
    await limiter.send_all(client, 60)
    assert now() == 5


# Turns


@virtual
async def test_they_leave_in_the_order_in_which_they_came():
    limiter, client = Limiter(rpm=60, slots=2), ScriptedClient(takes_s=5)
    await limiter.send_all(client, 30)
    assert [sent.call.row for sent in client.sent] == list(range(30))


@virtual
async def test_a_large_request_does_not_starve_behind_small_ones():
    limiter, client = (
        Limiter(itpm=60_000),
        ScriptedClient(lambda call, before: used(call.size.input_tokens, 0)),
    )
    sizes = [Size(tokens, tokens, 0, 0) for tokens in [100] * 5 + [20_000] + [100] * 100]
    await asyncio.gather(*(limiter.send(client, row, size=size) for row, size in enumerate(sizes)))
    assert [sent.call.row for sent in client.sent] == list(range(106))
    assert client.times[5] < 2, "it goes when the bucket is full, and alone"
    assert client.times[6] - client.times[5] == pytest.approx(20 / BLIND, abs=0.6), (
        "and is paid for in full"
    )


@virtual
async def test_who_waits_asks_again_with_what_was_learned_meanwhile():
    limiter, client = Limiter(itpm=60_000), ScriptedClient(lambda call, before: used(100, 0))

    class Learning:
        tokens = 30_000.0
        learned = 0

        def expect(self, call: Call) -> ExpectedUsage:
            return ExpectedUsage(self.tokens, 0)

        def learn(self, call: Call, usage: Usage, *, shown: int = 0, read: bool = False) -> None:
            self.tokens, self.learned = 100.0, self.learned + 1

    limiter.layer._estimates = sizes = Learning()
    await limiter.send_all(client, 20)
    assert sizes.learned == 20
    assert now() < 4, "thirty seconds for the second one, were it not for the first one's answer"


# Settling


@virtual
async def test_tokens_that_were_not_used_are_given_back():
    limiter = Limiter(itpm=60_000)
    client = ScriptedClient([used(0, 0, cache_read_input_tokens=1000)])
    await asyncio.sleep(RESTED_S)
    await limiter.send(client)
    await limiter.send(client)
    assert client.times[1] - client.times[0] <= 0.2, (
        "cache reads are free: only the gentle start holds it"
    )


@virtual
async def test_tokens_used_beyond_the_estimate_are_paid_by_the_next():
    limiter, client = Limiter(itpm=60_000), ScriptedClient([used(4000, 0)])
    await asyncio.sleep(RESTED_S)
    await limiter.send(client)
    await limiter.send(client)
    assert client.times[1] - client.times[0] == pytest.approx(4 / BLIND, abs=0.1)


@pytest.mark.parametrize(
    ("make", "after"),
    [(overloaded, 0.025), (bad_request, 0.025), (timed_out, 1 / BLIND)],
    ids=["529: not counted", "400: not counted", "timeout: may have been"],
)
@virtual
async def test_tokens_that_were_surely_not_counted_are_given_back(make, after: float):
    limiter, client = Limiter(itpm=60_000), ScriptedClient([make()])
    await asyncio.sleep(RESTED_S)
    with pytest.raises(AttemptError):
        await limiter.send(client)
    await limiter.send(client)
    assert client.times[1] - client.times[0] == pytest.approx(after, abs=0.01)


@pytest.mark.parametrize("make", [overloaded, bad_request, timed_out])
@virtual
async def test_the_request_itself_is_never_given_back(make):
    limiter, client = Limiter(rpm=60), ScriptedClient([make()])
    with pytest.raises(AttemptError):
        await limiter.send(client)
    await limiter.send(client)
    assert client.times[1] == pytest.approx(1 / BLIND, abs=0.1)


# What answers state


def stating(rpm: int | None, itpm: int | None) -> Reply:
    stated = Limits(requests=LimitReading(rpm), input_tokens=LimitReading(itpm))
    return make_reply(limits=stated, usage={"input_tokens": 1000})


@virtual
async def test_the_limits_that_answers_state_are_taken_over_and_told():
    limiter = Limiter(rpm=600, itpm=600_000)
    client = ScriptedClient(lambda call, before: stating(60, 30_000))
    await limiter.send(client)
    await limiter.send_all(client, 6)
    assert gaps(client.times)[2:] == pytest.approx([2 / BLIND] * 4, abs=0.1), (
        "1,000 tokens each at 30,000 a minute"
    )
    told = [event for event in limiter.events if isinstance(event, LimitsSeen)]
    assert told == [LimitsSeen(HAIKU, 60, 30_000, None)]


@virtual
async def test_headers_that_a_gateway_strips_change_nothing():
    limiter, client = (
        Limiter(rpm=60),
        ScriptedClient(lambda call, before: make_reply(limits=Limits())),
    )
    await limiter.send_all(client, 5)
    assert now() == pytest.approx(4 / BLIND, abs=0.1)
    assert not [event for event in limiter.events if isinstance(event, LimitsSeen)]


@virtual
async def test_before_the_first_answer_48_requests_a_minute_leave():
    limiter, client = Limiter(rpm=6000, cautious=True), ScriptedClient(takes_s=3.5)
    await limiter.send_all(client, 100)
    assert client.times[:3] == pytest.approx([0, 1.25, 2.5], abs=0.01)
    assert client.times[3] == pytest.approx(3.5, abs=0.3), "the first answer rings"
    assert limiter.told("first answer")


@virtual
async def test_a_pool_starts_gently_and_says_so():
    limiter, client = Limiter(rpm=60_000), ScriptedClient()
    await limiter.send_all(client, 300)
    assert sum(at < 0.5 for at in client.times) <= 8
    assert limiter.told("gentle start")


# Watching


class Streaming(ScriptedClient):
    """Shows what it answers to who watches: its head, and *shown* bytes, after thoughts
    if it *hides* some.
    """

    def __init__(
        self,
        *,
        shown: int = 1000,
        hides: bool = False,
        limits: Limits | None = None,
        thinking: int = 0,
        reads: int = 10,
    ):
        super().__init__(takes_s=1.0)
        self.shown, self.hides, self.limits, self.thinking = shown, hides, limits, thinking
        self.watched: list[bool] = []
        self.reads = reads

    async def __call__(self, call: Call) -> Reply:
        self.watched.append(call.watch is not None)
        if call.watch is not None:
            call.watch.began(self.limits)
            call.watch.read(PromptTokens(self.reads))
            if self.hides:
                call.watch.hides()
            call.watch.showed(self.shown)
        await super().__call__(call)
        usage = {"output_tokens": 500, "output_tokens_details": {"thinking_tokens": self.thinking}}
        return make_reply(usage=usage, limits=self.limits)


class Counted(AsStated):
    def __init__(self) -> None:
        self.shown: list[int] = []

    def learn(self, call: Call, usage: Usage, *, shown: int = 0, read: bool = False) -> None:
        self.shown.append(shown)


@virtual
async def test_answers_are_watched_while_the_limit_of_output_binds():
    limiter, client = Limiter(otpm=30_000), Streaming()
    await limiter.send_all(client, 20)
    assert client.watched == [False] + [True] * 19, (
        "for all but the first one it is waited: nothing is booked ahead at the start"
    )
    limiter, client = Limiter(rpm=60, otpm=30_000_000), Streaming()
    await limiter.send_all(client, 20)
    assert not any(client.watched), "requests bind"


@virtual
async def test_what_the_head_of_a_watched_answer_says_is_used_at_once_and_once():
    limiter, client = (
        Limiter(otpm=30_000),
        Streaming(limits=Limits(output_tokens=LimitReading(60_000, 1000))),
    )
    pool, settled = limiter.pools[HAIKU], []
    settle = pool._limiter.settle
    pool._limiter.settle = lambda booking, usage, limits, at: (
        settled.append(limits) or settle(booking, usage, limits, at)
    )
    await limiter.send_all(client, 20)
    told = [event for event in limiter.events if isinstance(event, LimitsSeen)]
    assert told == [LimitsSeen(HAIKU, None, None, 60_000)]
    assert settled.count(None) == client.watched.count(True) > 10


@pytest.mark.parametrize(
    ("hides", "thinking", "learned"),
    [(False, 0, 1000), (True, 0, 0), (True, 100, 1000)],
    ids=["all is shown", "nobody knows how much was hidden", "the answer says how much was hidden"],
)
@virtual
async def test_the_length_of_texts_is_learned_where_their_tokens_are_known(
    hides: bool, thinking: int, learned: int
):
    limiter, client = Limiter(otpm=30_000), Streaming(hides=hides, thinking=thinking)
    limiter.layer._estimates = sizes = Counted()
    await limiter.send_all(client, 20)
    assert sorted(set(sizes.shown)) == sorted({0, learned})


@virtual
async def test_prompt_sizes_are_learned_when_answers_begin_and_waiting_requests_retry_at_once():
    limiter, client = Limiter(itpm=60_000), Streaming(reads=100)

    class Reading(AsStated):
        tokens, proven, learned = 30_000.0, False, 0

        def expect(self, call: Call) -> ExpectedUsage:
            return ExpectedUsage(self.tokens, 0, proven=self.proven)

        def read(self, call: Call, input_tokens: int) -> None:
            self.tokens, self.proven = float(input_tokens), True

        def learn(self, call: Call, usage: Usage, *, shown: int = 0, read: bool = False) -> None:
            self.learned += not read

    limiter.layer._estimates = sizes = Reading()
    await limiter.send_all(client, 20)
    assert client.watched == [True] + [False] * 19
    assert sizes.learned == 19, "of the first one it is known already"
    assert client.times[-1] - client.times[0] < 4, (
        "thirty seconds for the second one, were it not for what was read"
    )
